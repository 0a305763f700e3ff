"""From bus and inbox to the sessions of a worker.

router         takes what they bring: a push (`outgoing`, encoded once a format) to its user's sessions
fanout         or to everyone, in slices
reliable       what is kept until a device has acknowledged it: `tracks` remembers how far each is, `cursors` stores it,
               `unread` counts what expired before; `acknowledging` takes acknowledgements that come by HTTP
questions      what nodes ask each other: `answers` is what this one says, `presence` knows which nodes there are
holding        what comes while sessions are handed over to this worker; `notes` is what it hears of the old one
"""
