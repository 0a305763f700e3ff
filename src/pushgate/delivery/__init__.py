"""From the bus to the sessions: the router and the fan-out to everyone."""
