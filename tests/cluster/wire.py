"""`python -m tests.cluster.wire NAME DELAY LOSS`, in the switch's namespace: a slow wire between a port and the switch.

Not every kernel has netem. The port is taken off the bridge, and what comes at it is passed on by two packet sockets,
each frame as a whole, late, and some not at all. Frames keep the kernel's note of what is still to be done with them
(checksum, segmentation), so that nothing has to be switched off.
"""

import asyncio
import random
import socket
import subprocess
import sys

ALL = 3
PACKET, VNET_HEADER, IGNORE_OUTGOING = 263, 15, 23
"""Of linux/if_packet.h: level and options."""
LARGEST = 65536 + 64


def attach(interface: str) -> socket.socket:
    """Return a socket that has every frame which comes at an interface."""
    connection = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    connection.setblocking(False)
    connection.setsockopt(PACKET, VNET_HEADER, 1)
    connection.setsockopt(PACKET, IGNORE_OUTGOING, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024 * 1024)
    connection.bind((interface, ALL))
    return connection


class Wire:
    """Passes on from one interface to the other, `delay` seconds later, without a part `loss` of it."""

    def __init__(self, delay: float, loss: float) -> None:
        self._delay = delay
        self._loss = loss
        self._dice = random.Random(1)

    def join(self, source: socket.socket, target: socket.socket) -> None:
        asyncio.get_running_loop().add_reader(source.fileno(), self._take, source, target)

    def _take(self, source: socket.socket, target: socket.socket) -> None:
        frame = source.recv(LARGEST)
        if self._dice.random() >= self._loss:
            asyncio.get_running_loop().call_later(self._delay, self._pass, target, frame)

    def _pass(self, target: socket.socket, frame: bytes) -> None:
        try:
            target.send(frame)
        except OSError:
            pass  # a full queue loses frames, like any wire


def lay(name: str) -> str:
    """Put a pair of ends between a port and the switch; returns the name of the open one."""
    new = f"slow-{name}"
    commands = [f"link add name {new} type veth peer name {new}-end", f"link set dev {new} master br up"]
    commands += [f"link set dev {new}-end up", f"link set dev {name} nomaster"]
    for command in commands:
        subprocess.run(["ip", *command.split()], check=True)
    return f"{new}-end"


async def be_wire(name: str, delay: float, loss: float, open_end: str) -> None:
    """Be the wire, until killed."""
    wire, port, end = Wire(delay, loss), attach(name), attach(open_end)
    wire.join(port, end)
    wire.join(end, port)
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(be_wire(sys.argv[1], float(sys.argv[2]), float(sys.argv[3]), lay(sys.argv[1])))
