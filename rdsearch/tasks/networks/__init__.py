"""Networks that have a registered name, one family a file."""
