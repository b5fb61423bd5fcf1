"""What a model is trained for: preparation and loss of one task together."""
