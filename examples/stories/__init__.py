"""Five small applications that push through a gateway: `python -m examples.stories`, or `make stories`.

__main__   the command: starts a gateway, if none is given, and serves all stories
gateway    a gateway of our own
app        all stories as one application
business   what they all do with the gateway: let visitors in, push until it is stored
visitors   who is who: a cookie
"""
