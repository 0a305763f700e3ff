"""The embedded nats-server: its files and process, kept alive and well, alone or as a member of a cluster of them."""
