"""Evaluating models in NumPy, without graphs."""
