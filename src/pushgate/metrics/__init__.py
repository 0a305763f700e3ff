"""What is measured: the catalogue of metrics, and the shared rows that hold their values."""
