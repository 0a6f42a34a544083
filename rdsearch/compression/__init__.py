"""One trial, without Ray: rounds of prune, retrain, quantise, encode, decode, evaluate; and files back to networks."""
