"""What a node takes on while it runs: which settings, and how they reach the workers.

The supervisor reads and checks the configuration anew; the settings that may change then go to each worker through its
control socket, as a file in memory. Everything else changes with the next start.
"""

import os
import socket

from msgspec import Struct, msgpack, structs

from pushgate.config import ClientsConfig, Config, LimitsConfig, TenantConfig
from pushgate.sockets.certificates import Certificates

RELOAD = b"c"
"""What the supervisor says on a control socket, with the descriptor of the encoded settings."""


class Settings(Struct, frozen=True):
    """The settings that may change while the node runs, and those of `[clients]` that may not."""

    tenants: dict[str, TenantConfig]
    limits: LimitsConfig
    clients: ClientsConfig
    certificates: Certificates


_encoder = msgpack.Encoder()
_decoder = msgpack.Decoder(Settings)


def take_on(config: Config, wanted: Config) -> Config:
    """Return a configuration with what may change while the node runs as another one has it."""
    clients, management = wanted.clients, wanted.management
    return structs.replace(
        config,
        tenants=wanted.tenants,
        limits=wanted.limits,
        clients=structs.replace(
            config.clients,
            tls_certificate=clients.tls_certificate,
            tls_key=clients.tls_key,
            origins=clients.origins,
            trusted_proxies=clients.trusted_proxies,
            proxy_header=clients.proxy_header,
        ),
        management=structs.replace(
            config.management,
            tls_certificate=management.tls_certificate,
            tls_key=management.tls_key,
            tls_client_ca=management.tls_client_ca,
        ),
    )


def name_fixed(running: Config, wanted: Config) -> list[str]:
    """Return the names of the settings that differ although they change with the next start only."""
    wanted = take_on(wanted, running)
    return [
        f"{section}.{key}"
        for section in running.__struct_fields__
        if isinstance(getattr(running, section), Struct)
        for key in getattr(running, section).__struct_fields__
        if getattr(getattr(running, section), key) != getattr(getattr(wanted, section), key)
    ]


def send_settings(control: socket.socket, settings: Settings) -> None:
    """Send settings to the worker at the other end of a control socket. Raises OSError when it is gone."""
    # A file and not the socket: settings of any size fit, and the supervisor waits for nobody.
    file = os.memfd_create("pushgate-settings", os.MFD_CLOEXEC)
    try:
        os.pwrite(file, _encoder.encode(settings), 0)
        socket.send_fds(control, [RELOAD], [file])
    finally:
        os.close(file)


def read_settings(file: int) -> Settings:
    """Return the settings in a file that `send_settings` made, and close it."""
    try:
        return _decoder.decode(os.pread(file, os.fstat(file).st_size, 0))
    finally:
        os.close(file)
