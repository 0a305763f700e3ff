"""Connections to Redis, for the bus and the inbox."""
