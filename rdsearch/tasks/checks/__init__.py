"""What is wrong with a task, or odd about it, before any work is spent on it."""
