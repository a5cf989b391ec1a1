"""Make raw/ from good/: one module a reason family."""
