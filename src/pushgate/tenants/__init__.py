"""Tenants: which key may say who a client is, and which API key belongs to whom.

Nothing here does I/O after the start or keeps anything per user; a bad token shows as `TokenRefused`, a bad
configuration as `ConfigError`.

tokens    `Claims`, what a good token says; how a token is taken apart; the bounds of what it may say
keys      one prepared key, pinned to one algorithm
registry  `Tenants`: checks and signs tokens, finds the tenant of an API key
"""
