"""The story of a contract that two parties sign."""
