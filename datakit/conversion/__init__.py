"""Rows of any format as rows of another: what it cannot hold is named, row by row."""
