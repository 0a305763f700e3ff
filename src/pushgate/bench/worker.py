"""One generator process: a swarm of connections and perhaps callers, obeying commands that come through a pipe.

`connect` opens the connections; `round` marks the start of a push to everyone; `call` starts the callers; `deaf` has
devices miss what comes, and is over when each has missed its share; with `resume` they come back for it when they are
cut off, and with `cut` they are cut off as well; `storm` cuts all connections off, and is over when all are back;
`report` asks for the totals; `end`, or the other end's end, ends it. Each command is answered with a Progress, and so
is the end of each phase, and one goes out a few times a second for whoever watches.
"""

import gc
import os
import select
import time
from itertools import chain
from multiprocessing.connection import Connection

from pushgate.bench.callers import Callers
from pushgate.bench.devices import Devices
from pushgate.bench.options import SPARE_FILES, Common, Share
from pushgate.bench.payload import BareRequest, Ids, PushRequest, Upgrades, one_user, padding_for
from pushgate.bench.server_cost import own_memory
from pushgate.bench.swarm import Swarm
from pushgate.bench.tokens import sign
from pushgate.bench.totals import Progress, Totals
from pushgate.bench.unruly import Unruly

_TICK_NS = 250_000_000
_QUIET_NS = 5_000_000_000  # messages still missing after so long without any are given up
_TOKEN_LIFE = 24 * 3600


class Worker:
    """Runs one share of a bench until it is told to end."""

    def __init__(self, pipe: Connection, common: Common, share: Share, window: int) -> None:
        """Signs every token ahead, so that it does not fall into what is measured."""
        self._empty = own_memory()
        self._pipe = pipe
        self._common = common
        self._share = share
        callers = share.calls.callers if share.calls else 0
        # Descriptors are given out from the lowest free one, so none will be higher than this.
        room = share.connections + callers + SPARE_FILES + max(map(int, os.listdir("/proc/self/fd")))
        self._devices = Devices(share.connections, common.ack_every) if common.devices else None
        clients = common.target.clients
        self._swarm = Swarm(clients, room, share.first, common.sources, window, common.bare, self._devices)
        self._unruly = Unruly(share, self._swarm)
        self._swarm.watch(pipe.fileno())
        self._upgrades = self._make_upgrades()
        self._callers: Callers | None = None
        if share.calls:
            self._callers = self._make_callers(room, share.calls.size)
            self._swarm.watch(self._callers.epoll.fileno())
        self._phase = "connect"
        self._commands = 0
        self._goal = 0
        self._told = False  # that the present phase is over

    def run(self) -> None:
        """Obey until `end`. Collects no garbage meanwhile: nothing here makes cycles, and pauses would be measured."""
        gc.freeze()
        gc.disable()
        self._tell()
        tick = time.monotonic_ns() + _TICK_NS
        while True:
            if self._swarm.step(self._wait()) and self._pipe.poll() and not self._obey():
                break
            if self._callers:
                self._callers.step()
            if self._devices:
                self._devices.acknowledge()
            now = time.monotonic_ns()
            if now >= tick or (not self._told and self._done(now)):
                self._told = self._done(now)
                if now >= tick:
                    tick = now + _TICK_NS
                    self._swarm.expire(self._common.timeout)
                    if self._callers:
                        self._callers.mend()
                        if self._callers.calling:
                            self._unruly.step(now)
                self._tell()
        self._swarm.close()

    def _make_upgrades(self) -> Upgrades:
        target, share = self._common.target, self._share
        expires = int(time.time()) + _TOKEN_LIFE
        pushed_to = -(-share.count // self._common.per_user)
        users = chain(
            (f"u{share.first_user + index // self._common.per_user}" for index in range(share.count)),
            (f"idle{share.first + index}" for index in range(share.idle)),
            (f"u{share.first_user + index % pushed_to}" for index in range(share.unrest.churning)),
            share.stalling_users,
        )

        def sign_for(user: str) -> bytes:
            return sign(target.token_secret, user, target.tenant, expires)

        return Upgrades(target.clients, users, sign_for, os.urandom(8).hex() if self._common.devices else None)

    def _make_callers(self, room: int, size: int) -> Callers:
        target, share = self._common.target, self._share
        padding, reliable = padding_for(size), self._common.devices
        names = (f"u{share.first_user + index}" for index in range(share.count // self._common.per_user))
        if self._common.bare:
            return Callers(target.api, [BareRequest(target.api.of(name), size) for name in names], room)
        requests = [PushRequest(target.api, target.api_key, one_user(name), padding, reliable) for name in names]
        return Callers(target.api, requests, room, Ids() if reliable else None)

    def _wait(self) -> float:
        """How long `step` may wait. An open loop needs it finer than the milliseconds of epoll."""
        if self._devices and not (self._share.calls and self._share.calls.rate):
            return min(max(self._common.ack_every, 0.001), _TICK_NS / 1e9)
        if not self._callers or self._phase != "call" or (pause := self._callers.pause()) > _TICK_NS / 1e9:
            return _TICK_NS / 1e9
        select.select((self._swarm.epoll,), (), (), pause)
        return 0.0

    def _obey(self) -> bool:
        """Take one command; False when it was the last."""
        try:
            command = self._pipe.recv()
        except (EOFError, OSError):
            return False
        self._commands += 1
        if command == "end":
            return False
        if command == "report":
            self._pipe.send(self._totals())
            return True
        self._phase = command
        self._told = False
        if command == "connect":
            self._swarm.opening.start(len(self._upgrades), self._upgrades.request)
        elif command == "round":
            self._goal = self._swarm.messages + sum(1 for _ in self._swarm.live())
        elif command == "deaf" and self._devices:
            self._devices.deaf = True
            self._goal = self._share.missed * sum(1 for _ in self._swarm.live())
        elif command in ("resume", "cut") and self._devices:
            self._devices.deaf = False
            self._goal += self._swarm.messages
            self._swarm.opening.persist()
            if command == "cut":
                self._swarm.cut()
        elif command == "storm":
            self._swarm.storm()
        elif command == "call" and self._callers and self._share.calls:
            self._swarm.forget_messages()
            if self._share.unrest.churning or self._share.unrest.stalling:
                self._swarm.opening.persist()
            self._callers.connect(self._share.calls.callers)
            self._callers.start(self._share.calls.seconds, self._share.calls.rate)
        self._tell()
        return True

    def _done(self, now: int) -> bool:
        """Whether the present phase is over."""
        if self._phase in ("connect", "storm"):
            return self._swarm.opening.settled
        if self._phase == "deaf" and self._devices:
            return self._devices.ignored >= self._goal
        if self._phase in ("round", "resume", "cut"):
            return self._swarm.messages >= self._goal
        callers = self._callers
        if not callers or callers.calling:
            return False
        if callers.waiting and now - max(callers.last_ns, callers.first_ns) < self._common.timeout * 1e9:
            return False
        callers.give_up()
        if now - max(self._swarm.last_ns, callers.last_ns) > _QUIET_NS:
            return True
        so_far = Totals(accepted=sum(callers.accepted))
        if self._swarm.messages < so_far.accepted * self._common.per_user:
            return False
        # Others get messages too, and some perhaps twice.
        self._compare(so_far, callers)
        return not so_far.missing

    def _tell(self) -> None:
        swarm, callers = self._swarm, self._callers
        failed, lost = swarm.opening.failures.total(), swarm.lost.total()
        answers = callers.answered if callers else 0
        progress = Progress(
            self._commands,
            self._told,
            swarm.opening.opened,
            failed,
            lost,
            swarm.messages,
            answers,
            swarm.last_ns,
            time.process_time(),
        )
        self._pipe.send(progress)

    def _totals(self) -> Totals:
        swarm, opening, callers = self._swarm, self._swarm.opening, self._callers
        totals = Totals(
            opened=opening.opened,
            messages=swarm.messages,
            received=swarm.received,
            failures=opening.failures,
            lost=swarm.lost,
            handshakes=opening.handshakes,
            latencies=swarm.latencies,
            dismissed=swarm.dismissed,
            pings=swarm.pings,
            left=self._unruly.left,
            stalls=self._unruly.stalls,
            connect_first_ns=opening.first_ns,
            connect_last_ns=opening.ready_ns,
            memory=own_memory() - self._empty,
            cpu=time.process_time(),
        )
        if callers:
            totals.accepted = sum(callers.accepted)
            totals.errors = callers.errors
            totals.calls = callers.latencies
            totals.call_first_ns, totals.call_last_ns = callers.first_ns, callers.last_ns
            self._compare(totals, callers)
        if self._devices:
            totals.again, totals.acknowledgements = self._devices.again, self._devices.acknowledgements
        return totals

    def _compare(self, totals: Totals, callers: Callers) -> None:
        """Compare each connection with the accepted pushes to its user: a sum would let a double hide a loss."""
        per_user = self._common.per_user
        totals.expected = totals.accepted * per_user
        arrived = 0
        pushed_to = len(callers.accepted) * per_user  # not the connections of a last user who has fewer than the others
        for fd in self._swarm.live():
            number = self._swarm.number[fd]
            if number < pushed_to:
                want, got = callers.accepted[number // per_user], self._swarm.got[fd]
                arrived += min(want, got)
                totals.surplus += max(0, got - want)
        totals.missing = totals.expected - arrived
