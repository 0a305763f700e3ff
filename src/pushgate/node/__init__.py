"""A node: one supervisor process and its workers on one host.

Before it starts: `run` reads the configuration, `check` checks it, `servers` says where bus and inbox are, `data_dir`
is locked. `banner` tells a beginner what to do next.

The supervisor's process, on its `loop`:
supervisor         all of it, from start to stop
holdings           what may outlive it: sockets, rows, lock
workers            forks its `children`, each with a `plan`, and again when they die (`back_off`); `watchdog` looks for
                   those that are stuck
signals, commands  what it is told, from where: `reload`, `draining`, an upgrade (`handover`)
systemd, memory    whom it tells how it is, and what it measures
embedded           the nats-server

A worker's process:
worker             all of it; `control` is what it says to the supervisor, and hears
entrance           the way in of clients; `departures`, their way out while the node is drained
backbone           bus, questions, `routing` and `reliable_delivery` (with `opening` and `usage` of its inbox)
vitals             what it measures of itself

handover           one generation of all these processes takes over from another
"""
