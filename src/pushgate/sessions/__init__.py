"""Who is connected: the lobby, the sessions of each user, their heartbeats."""
