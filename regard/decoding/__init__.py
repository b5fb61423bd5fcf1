"""From a model's steps to sentences."""
