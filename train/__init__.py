"""Training on proved data, through TRL. The commands arrive with a later release."""
