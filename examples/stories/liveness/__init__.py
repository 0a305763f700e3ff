"""The story of a result that arrives later."""
