"""What a search found, for people: a table for the terminal, plots, and one self-contained HTML page."""
