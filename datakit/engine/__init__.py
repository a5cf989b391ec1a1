"""Where step functions run: the functions themselves know nothing of it."""
