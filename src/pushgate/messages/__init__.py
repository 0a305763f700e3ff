"""The messages of the client protocol and of the bus, and their codecs; no I/O."""
