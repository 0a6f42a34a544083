"""Training: one loop, its steps and hooks, what an interruption leaves, and the dense baseline."""
