"""Preference labelling in Argilla. The commands arrive with a later release."""
