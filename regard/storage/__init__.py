"""What lies on disk: whole files, weights, model directories."""
