"""Where connections come from: the addresses of loopback, so that one machine looks like many to a gateway."""

import socket
from errno import errorcode

from pushgate.bench.options import Address

_IP_BIND_ADDRESS_NO_PORT = 24  # the kernel picks the port at connect(), when it knows the other end


def sources_for(connections: int) -> int:
    """How many sources keep a bench clear of what a gateway takes of one address: 50 connections for each."""
    return -(-connections // 50)


def source_address(number: int) -> str:
    """The address of a source: the first is 127.0.0.2."""
    number += 2
    return f"127.{number >> 16}.{number >> 8 & 255}.{number & 255}"


def dial(address: Address, source: int) -> socket.socket:
    """Begin a connection to the address, from the source of this number when that is loopback; raises OSError.

    It never waits. On loopback the connection stands already; elsewhere it does once the socket can be written to.
    """
    new = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        if address.ip.startswith("127."):
            new.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
            new.bind((source_address(source), 0))
        new.connect((address.ip, address.port))
    except BlockingIOError:
        pass
    except OSError:
        new.close()
        raise
    return new


def name_error(error: OSError) -> str:
    """The name that figures have for an error: ECONNRESET and the like."""
    return errorcode.get(error.errno or 0, str(error))
