"""NATS as bus and inbox use it: connections that keep what they promise, over nats-py, which is imported here alone."""
