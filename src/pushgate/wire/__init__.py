"""Bytes in, events and bytes out: WebSocket frames (RFC 6455 section 5) and the HTTP upgrade (section 4.2).

Nothing here does I/O, keeps time or knows a session; a broken client shows as `WireError` or
`UpgradeRefused`.

events    Server-Sent Events: what we send on a stream
frames    what we send, and `read_single` for the usual frame that comes in
reader    `FrameReader` for all others
deflate   permessage-deflate (RFC 7692): the offer, and messages compressed and inflated
masking   the XOR of RFC 6455 section 5.3
request   `find_head`, `parse_request`, `parse_query`: from a client's bytes to an HTTP request
upgrade   `check_upgrade`: from a request to an accepted WebSocket; the 101 answer and all other answers
"""
