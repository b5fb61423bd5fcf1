"""Attention itself: one function, masks as predicates, kernels, recording."""
