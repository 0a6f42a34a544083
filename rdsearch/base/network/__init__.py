"""A network as any room sees it: its weights, modes, wrappers, inputs, outputs and joined channels."""
