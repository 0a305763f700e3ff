"""The gateway's two users, in Python: who pushes, and who listens.

pusher     Pusher: the HTTP API as methods
listener   Listener: the messages of one user, over as many connections as it takes
errors     what can go wrong for them
"""
