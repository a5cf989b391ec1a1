"""What a model is worth, as numbers: each measure says its unit, its samples and how it is taken."""
