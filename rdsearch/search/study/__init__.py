"""The study: which recipes are proposed, and what the sampler is told of them."""
