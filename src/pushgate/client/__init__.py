"""Who uses a gateway, in Python: who pushes, who listens, and who looks after it.

pusher     Pusher and AsyncPusher: the HTTP API as methods
listener   Listener: the messages of one user, over as many connections as it takes
status     how a node is
answers    what the API answers
calls      the calls by themselves, for both pushers
tries      when a call is made again
tokens     a client's tokens, and when each is to be replaced
place      how far a device has come, and the file of it
trust      whom they trust over TLS
errors     what can go wrong for them
"""
