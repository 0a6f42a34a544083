"""What came of a search: its points, its front, its members on the whole validation part and on the test split."""
