"""The model of the coder and its loops, compiled: what is looked at, mixed and counted, bit by bit."""
