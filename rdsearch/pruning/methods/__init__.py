"""Pruning methods, one a file: how many weights each layer keeps, and in which order they go."""
