"""Who is connected, in the order in which a connection goes through it.

door       accepted just now: let in, refused, or first asked for its PROXY header. By the `terms` of this node: by
           numbers (`admission`), by who is in between (`proxies`), by where a page comes from (`origins`)
lobby      until upgrade and token are checked. `guest` is what it remembers, `handshake` and `fallback` read what is
           asked for, `pages` has the answers to whatever else is
arrival    what was learnt by then, on its way to the worker that owns the user
anteroom   where a device waits for its cursor

manager    opens, writes to, closes and hands over sessions (`state` is what goes along then)
table      all of them, a `session` each; `devices` is what they need of reliable delivery
inbound    what clients send, at which `pace`; `streams` for those that only listen
heartbeat  pings the idle, drops the dead, ends those whose token is over
replacing  a device that is on another node now
"""
