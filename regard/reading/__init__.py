"""Texts in, and what an encoder says of them out."""
