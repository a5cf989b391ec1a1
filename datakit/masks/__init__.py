"""The mask proof: which tokens of every row are trained, and why that is right."""
