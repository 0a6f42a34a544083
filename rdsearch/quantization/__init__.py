"""Which values the surviving weights take: steps, levels, and batch normalisation matched to them."""
