"""A model behind HTTP: requests which wait are computed together, and what cannot be done in time is refused."""
