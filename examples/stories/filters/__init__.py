"""The story of a cover image and its eight versions."""
