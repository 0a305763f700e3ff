"""The story of a busy stream of comments."""
