"""Quantisation methods, one a file, behind the signature of `quantization.method.Method`."""
