"""The story of a real-name check by QR code."""
