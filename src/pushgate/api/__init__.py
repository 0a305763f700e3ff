"""The HTTP API on the management port: the push route, tokens, health, metrics, and its own documentation."""
