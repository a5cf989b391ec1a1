"""Recipe TOML to frozen models: unknown keys are faults, and every fault is reported at once."""
