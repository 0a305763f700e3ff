"""What a supervisor holds that may outlive it: listening sockets, rows, journal and the lock of the data directory."""

import os
import secrets
import socket

from pushgate.config import Config
from pushgate.journal import Journal
from pushgate.metrics.generations import describe
from pushgate.metrics.rows import Rows
from pushgate.node.data_dir import DataDir
from pushgate.node.handover.heritage import Estate
from pushgate.node.handover.succession import Succession
from pushgate.node.reload import fixed_settings
from pushgate.sockets.listener import open_listener, refuse_all
from pushgate.tenants.registry import Tenants


class Holdings:
    """Opened anew, or taken over by a `succession`. Raises StartError."""

    def __init__(
        self,
        config: Config,
        data_dir: DataDir,
        journal: Journal,
        workers: int,
        tenants: Tenants,
        succession: Succession | None,
        demo_key: str,
    ) -> None:
        if succession is not None:
            succession.check_fixed(fixed_settings(config))
        self.data_dir = data_dir
        self.journal = journal
        self._succession = succession
        self._backlog = config.clients.backlog
        self._tenants = tenants
        self._workers = workers
        self._demo_key = demo_key
        self.home = (succession.home if succession is not None else 0) or secrets.randbits(64) | 1
        """The number that other nodes address this one by; the same through all generations of processes."""
        self._fixed = fixed_settings(config)
        self._ports = [(config.clients.host, config.clients.port), (config.management.host, config.management.port)]
        self.clients, self.management = (self._listen(port, *place) for port, place in enumerate(self._ports))
        old = succession.old_rows(tenants.numbers) if succession is not None else None
        self.rows_file = os.memfd_create("pushgate-rows", os.MFD_CLOEXEC)
        os.ftruncate(self.rows_file, Rows.file_size(workers, old))
        self.rows = Rows(workers, self.rows_file, old)

    def describe_rows(self) -> bytes:
        """Return where everything is in the rows, for another generation."""
        return describe(self.rows, self._tenants.numbers)

    def bequeath(self) -> tuple[Estate, list[int]]:
        """Return what the next supervisor is told, and the descriptors that go along."""
        estate = Estate(self._workers, self._ports, self._fixed, self.describe_rows(), self._demo_key, self.home)
        sockets = [self.clients.fileno(), self.management.fileno()]
        return estate, [self.data_dir.lock, *sockets, self.rows_file, self.journal.file]

    def refuse_all(self) -> None:
        """Have the kernel refuse whoever connects, on both ports."""
        for listener in (self.clients, self.management):
            refuse_all(listener)

    def _listen(self, port: int, host: str, number: int) -> socket.socket:
        """Return a listening socket: that of the supervisor before us, where it is for the same address."""
        taken = self._succession.listener(port, (host, number), self._backlog) if self._succession is not None else None
        return taken if taken is not None else open_listener(host, number, self._backlog)
