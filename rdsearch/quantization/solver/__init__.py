"""Levels of one layer by the second moments of its inputs: rates, error propagation, coordinate descent."""
