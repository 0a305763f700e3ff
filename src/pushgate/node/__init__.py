"""A node: the supervisor, its workers, the embedded NATS server and the data directory."""
