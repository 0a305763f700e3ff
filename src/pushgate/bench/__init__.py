"""The load generator behind `pushgate bench`: bounded in count and time, and cheaper than what it measures.

options       where the gateway is and how hard to try: plain values
histogram     latencies in slots
tokens        client tokens, signed ahead
payload       request bytes, and the mark by which a message is known again
sources       where connections come from
opening       which are still to be opened, and how long that takes
swarm         many WebSocket connections on one epoll
unruly        those of them that come and go, and that stop reading
devices       what connections that are devices have got, and acknowledge
callers       many keep-alive HTTP callers on another
totals        what a process reports
worker        one process: a swarm, perhaps callers, and a pipe
crew          all processes, as the one that started them sees them
server_cost   memory and CPU of the server, from /proc
connect, broadcast, push, resume, storm, soak, scale, hostile
              the benches, each a function that returns a Result; `reliable` is a push too
floor         a server to compare with, which does the least
bus, bus_publisher, bus_listener    the bench of a broker, without a gateway
figures, report, page       how figures are named, and shown
flags, commands             their command line
"""
