"""Who uses a gateway, in Python: who pushes, who listens, and who looks after it.

pusher     Pusher: the HTTP API as methods
listener   Listener: the messages of one user, over as many connections as it takes
status     how a node is
trust      whom they trust over TLS
errors     what can go wrong for them
"""
