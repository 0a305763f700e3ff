"""Connections to RocketMQ by its remoting protocol, for the bus."""
