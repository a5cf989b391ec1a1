"""Chat templates: loading them with their tokenizer, rendering, and what they do to messages."""
