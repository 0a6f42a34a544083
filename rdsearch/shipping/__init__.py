"""A point of a front as a folder that others can use: weights, programs, a way to run them, and a model card."""
