"""Benchmarks against NumPy and PyTorch; see benchmarks/README.md."""
