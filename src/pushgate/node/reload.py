"""What a node takes on while it runs: which settings, and how they reach the workers.

The supervisor reads and checks the configuration anew; the settings that may change then go to each worker through its
control socket, as a file in memory. Everything else changes with the next start.
"""

import os
import socket
import time
from collections.abc import Callable
from hashlib import sha256

from msgspec import Struct, msgpack, structs

from pushgate.config import ClientsConfig, Config, LimitsConfig, TenantConfig
from pushgate.errors import PushgateError
from pushgate.log import get_logger
from pushgate.metrics.catalogue import LAST_RELOAD, RELOADS
from pushgate.metrics.rows import Row
from pushgate.node.check import check_config
from pushgate.node.control import RELOAD, say
from pushgate.sessions.terms import Terms
from pushgate.sockets.certificates import Certificates, Tls, note_expiry
from pushgate.tenants.registry import Tenants


class Settings(Struct, frozen=True):
    """The settings that may change while the node runs, and those of `[clients]` that may not."""

    tenants: dict[str, TenantConfig]
    limits: LimitsConfig
    clients: ClientsConfig
    certificates: Certificates


_log = get_logger("supervisor", lifecycle=True)
_encoder = msgpack.Encoder()
_decoder = msgpack.Decoder(Settings)


class Reload:
    """Takes on, in the supervisor, what may change of the configuration; `reread` returns it as it stands now."""

    def __init__(self, reread: Callable[[], Config], tenants: Tenants, terms: Terms, tls: Tls, row: Row) -> None:
        self._reread = reread
        self._tenants = tenants
        self._terms = terms
        self._tls = tls
        self._row = row

    def reload(self, config: Config) -> tuple[Config, Settings] | None:
        """Return the configuration that the node then has, and what its workers are to be given of it.

        None when the new one is wrong: then nothing has changed, and the log says why.
        """
        try:
            wanted = self._reread()
            checked = check_config(wanted)
            for warning in checked.warnings:
                _log.warning(warning)
            self._tenants.load(wanted.tenants)
        except PushgateError as error:
            self._row[RELOADS["failed"]] += 1
            _log.error("the configuration is wrong: the one before stays", reason=str(error))
            return None
        if fixed := name_fixed(config, wanted):
            _log.warning("some settings change with the next start only", settings=fixed)
        if renewed := self._tls.load(checked.certificates):
            _log.info("certificates changed", ports=renewed)
        note_expiry(checked.certificates, self._row)
        config = take_on(config, wanted)
        self._terms.load(config.clients, config.limits)
        self._row[RELOADS["done"]] += 1
        self._row[LAST_RELOAD] = int(time.time())
        _log.info("configuration reloaded", tenants=len(wanted.tenants))
        return config, Settings(config.tenants, config.limits, config.clients, checked.certificates)


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


def fixed_settings(config: Config) -> dict[str, str]:
    """Return what has to be the same on both sides of an upgrade, by name: digests, since some are secret."""
    bus, inbox = config.bus, config.inbox
    fixed: dict[str, object] = {
        "node.data_dir": os.path.abspath(config.node.data_dir),
        "bus": (bus.url, bus.prefix),
        "cluster": config.cluster,
        "inbox": (inbox.url, inbox.sync, inbox.replicas),
    }
    if bus.routing != "broadcast":
        fixed["bus.routing"] = bus.routing
    return {name: sha256(msgpack.encode(value)).hexdigest() for name, value in fixed.items()}


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
    """Send settings to the worker at the other end of a control socket. Raises OSError as `say` does."""
    # A file and not the socket: settings of any size fit, and the supervisor waits for nobody.
    file = os.memfd_create("pushgate-settings", os.MFD_CLOEXEC)
    try:
        os.pwrite(file, _encoder.encode(settings), 0)
        say(control, RELOAD, files=[file])
    finally:
        os.close(file)


def read_settings(file: int) -> Settings:
    """Return the settings in a file that `send_settings` made, and close it."""
    try:
        return _decoder.decode(os.pread(file, os.fstat(file).st_size, 0))
    finally:
        os.close(file)
