"""The worker's sockets: one poller for all of them, listeners, and passing sockets between workers."""
