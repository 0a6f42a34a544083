"""What a search file may say: its recipe, its space, the whole file, and the ready ones."""
