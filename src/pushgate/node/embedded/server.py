"""The embedded NATS server: a child process that may outlive us, and is then adopted by the next supervisor.

In the data directory's `nats/`:

- `nats.lock`: held by the server itself, through a descriptor that it inherits and knows nothing of: two servers would
  start on one JetStream directory without complaint, and ruin it.
- `nats.json`: which process it is, its port and its lineage, for who comes after us.
- `password` of its two users, ours and one that asks how it is, and `nats.conf`, written anew at each start (both
  0600).
- `nats.log`, with `nats.log.<time>` before it.
- `ports/`: where the server says which port the system chose. `jetstream/`: what it stores.

Everything here is plain and synchronous: the supervisor forks, so it runs no thread and no asyncio.
"""

import os
import secrets
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec

from pushgate.errors import StartError
from pushgate.log import get_logger
from pushgate.node.data_dir import DataDir, take_lock, write_whole
from pushgate.node.embedded.cluster import Member
from pushgate.node.embedded.config import DOCTOR, USER, write_config
from pushgate.node.embedded.probe import (
    HOST,
    Health,
    announced_port,
    answers,
    boot_id,
    examine,
    holders,
    is_free,
    start_time,
)
from pushgate.node.embedded.server_log import last_words, route_trouble
from pushgate.node.embedded.state import NatsState, Sync, check_place, lineage_after, recall, remember

ADOPT_PATIENCE = 3.0
"""Seconds for a server that was left behind to answer, or to end."""

log = get_logger("node", lifecycle=True)


class NatsServer:
    """The embedded server. `start` it, ask `is_ready` now and then, watch `pidfd`; it may be started again."""

    def __init__(
        self,
        data_dir: DataDir,
        program: str,
        sync: Sync = "always",
        boot: Callable[[], str] = boot_id,
        member: Member | None = None,
    ) -> None:
        """`sync` says when what it stores is on the disk, as in `[inbox]`; `boot` which boot of the machine this is;
        `member` is its part in a cluster."""
        self._home = data_dir.nats
        self._program = program
        self._sync = sync
        self._boot = boot
        self._member = member
        self._joined = member.digest if member is not None else ""
        self._password = _kept_password(self._home / "password")
        self._state: NatsState | None = None
        self._pidfd = -1
        self.adopted = False
        """Whether the last `start` found it running."""
        self.moved = False
        """Whether its port changed with the last `start`: who has the old `url` waits in vain."""

    def start(self) -> None:
        """Start the server, or adopt the one that an earlier supervisor left; returns before it is ready.

        Raises StartError when it cannot be started, or when another process holds its files, naming it.
        """
        self._forget()
        deadline = time.monotonic() + ADOPT_PATIENCE
        while (lock := self._take_lock()) is None:
            if self._adopt():
                assert self._state is not None
                if (self._state.sync, self._state.joined) == (self._sync, self._joined):
                    log.info("nats-server adopted", pid=self.pid)
                    return
                log.warning("nats-server runs with other settings of sync or cluster: it starts again", pid=self.pid)
                self.stop(ADOPT_PATIENCE)
                continue
            if time.monotonic() > deadline:
                pids = ", ".join(map(str, holders(self._home / "nats.lock"))) or "unknown"
                raise StartError(
                    f"{self._home} is used by a process that is not our nats-server, or does not answer: pid {pids}"
                )
            time.sleep(0.05)
        try:
            self._spawn(lock)
        except BaseException as error:
            self.stop(0)  # without nats.json nobody could adopt it
            if isinstance(error, OSError):
                raise StartError(f"nats-server cannot be started: {error}") from None
            raise
        finally:
            os.close(lock)

    def is_ready(self) -> bool:
        """Whether it answers to our credential; takes a second at most, commonly a millisecond.

        Raises StartError when it has ended instead, with the last lines of its log.
        """
        if self._wait(0):
            raise StartError(f"nats-server ended:\n{last_words(self._home)}")
        port = announced_port(self._home / "ports", self.pid)
        if port is None or not answers(port, USER, self._password):
            return False
        assert self._state is not None
        if port != self._state.port:
            self.moved = self._state.port > 0
            self._remember(msgspec.structs.replace(self._state, port=port))
        return True

    def ready(self, timeout: float) -> None:
        """Wait until it is ready; raises StartError when it is not within `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while not self.is_ready():
            if time.monotonic() > deadline:
                raise StartError(f"nats-server is not ready after {timeout:g} s:\n{last_words(self._home)}")
            self._wait(0.02)

    @property
    def url(self) -> str:
        """Where it is, with the credential: for NatsBus, not for logs. Right from `is_ready` until it is so again."""
        assert self._state is not None
        return _url(USER, self._password, self._state)

    @property
    def pid(self) -> int:
        """The process id of the last one started or adopted."""
        assert self._state is not None
        return self._state.pid

    @property
    def lineage(self) -> str:
        """A text that is another one where it may have lost its last writes; see NatsState. Right after `start`, and
        the same for as long as this object lives. Nothing in a cluster, which loses none with one of its servers."""
        assert self._state is not None
        return self._state.lineage if self._member is None else ""

    @property
    def pidfd(self) -> int:
        """A descriptor that is readable when the server has ended; -1 before `start` and after `stop`."""
        return self._pidfd

    def examine(self) -> Health:
        """Return how it says it is; see `probe`."""
        return examine(self._state.port, DOCTOR, self._password) if self._state is not None else Health()

    def route_trouble(self) -> str:
        """Return what it says of connections to others of its cluster that failed; see `server_log`."""
        return route_trouble(self._home)

    @property
    def room(self) -> int:
        """The bytes that are free on the disk it stores on."""
        return shutil.disk_usage(self._home).free

    def signal(self, number: int) -> None:
        """Send it a signal, without waiting for what comes of it; `pidfd` says when it has ended."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, number)

    def stop(self, timeout: float) -> None:
        """End it: SIGTERM, after `timeout` seconds SIGKILL. Returns when it is gone; nothing to do is fine."""
        if not self._wait(0):
            for number, patience in ((signal.SIGTERM, timeout), (signal.SIGKILL, 10.0)):
                self.signal(number)
                if self._wait(patience):
                    break
            if number == signal.SIGTERM and self._state is not None:
                with suppress(StartError):
                    self._remember(msgspec.structs.replace(self._state, clean=True))
        self._forget()

    def _take_lock(self) -> int | None:
        try:
            return take_lock(self._home / "nats.lock")
        except OSError as error:
            raise StartError(f"{self._home / 'nats.lock'} cannot be locked: {error.strerror}") from None

    def _spawn(self, lock: int) -> None:
        name = self._member.name if self._member is not None else ""
        check_place(self._home, name)
        last = recall(self._home)
        port = last.port if last is not None and last.port and is_free(last.port) else -1
        max_file = last.max_file if last is not None else shutil.disk_usage(self._home).free // 2
        ports = self._home / "ports"
        ports.mkdir(mode=0o700, exist_ok=True)
        for left in ports.iterdir():
            left.unlink()
        write_whole(self._home / "nats.conf", write_config(port, self._password, self._sync, max_file, self._member))
        output = os.open(self._home / "nats.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            process = subprocess.Popen(  # noqa: S603
                [self._program, "-c", "nats.conf"],
                cwd=self._home,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(lock,),
                start_new_session=True,  # a terminal's Ctrl-C is for the supervisor, which then ends it in its turn
            )
        finally:
            os.close(output)
        process.returncode = 0  # its end is seen and waited for through the pidfd
        self._pidfd = os.pidfd_open(process.pid)
        began = start_time(process.pid) or 0
        self._remember(
            NatsState(
                pid=process.pid,
                start_time=began,
                port=last.port if last else 0,
                program=self._program,
                max_file=max_file,
                sync=self._sync,
                joined=self._joined,
                name=name,
                boot=self._boot(),
                lineage=self._state.lineage if self._state is not None else lineage_after(last, self._boot()),
            )
        )

    def _adopt(self) -> bool:
        """Take over the running server that nats.json names, if it is that one and ours."""
        state = recall(self._home)
        if state is None:
            return False
        try:
            pidfd = os.pidfd_open(state.pid)
        except OSError:
            return False
        # compared after the pidfd was opened: from then on the pid cannot come to mean another process for us
        if start_time(state.pid) == state.start_time:
            port = announced_port(self._home / "ports", state.pid)
            if port is not None and answers(port, USER, self._password):
                self._pidfd, self.adopted = pidfd, True
                self._remember(msgspec.structs.replace(state, port=port))
                return True
        os.close(pidfd)
        return False

    def _remember(self, state: NatsState) -> None:
        self._state = state
        remember(self._home, state)

    def _wait(self, seconds: float) -> bool:
        """Return whether it has ended, or never began, after so many seconds at most."""
        if self._pidfd < 0:
            return True
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def _forget(self) -> None:
        if self._pidfd >= 0:
            with suppress(ChildProcessError):  # adopted, or waited for by the supervisor already
                os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOHANG)
            os.close(self._pidfd)
        self._pidfd = -1
        self.adopted = self.moved = False


def known_url(home: Path, user: str = USER) -> str:
    """Return where the server with these files is, with a user's credential. Raises StartError where none was ready."""
    state = recall(home)
    if state is None:
        raise StartError(f"{home / 'nats.json'} is missing or damaged")
    return _url(user, _kept_password(home / "password"), state)


def _url(user: str, password: str, state: NatsState) -> str:
    return f"nats://{user}:{password}@{HOST}:{state.port}"


def _kept_password(file: Path) -> str:
    """Return the password of the one user, made on the first call ever."""
    try:
        if not file.exists():
            write_whole(file, secrets.token_urlsafe(32).encode())
        return file.read_text()
    except OSError as error:
        raise StartError(f"{file} cannot be used: {error.strerror}") from None
