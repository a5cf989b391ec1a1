"""Judgements: what people answered, brought from the server and kept as versions."""
