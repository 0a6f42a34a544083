"""Data sets that have a registered name, one source a file, and readers for a user's own files."""
