"""What runs in Argilla's own environment, started by path; nothing of datakit can be imported here."""
