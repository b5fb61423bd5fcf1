"""Several systems under one budget: the same examples in the same order, the same measure, and whether they differ."""
