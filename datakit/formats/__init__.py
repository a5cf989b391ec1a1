"""Records from rows: one file a format, detection row by row, frames of records."""
