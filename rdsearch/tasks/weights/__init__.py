"""The weights of a task's network: read from checkpoints, kept as arrays, and networks without them."""
