"""Bricks without modes, which the models are made of."""
