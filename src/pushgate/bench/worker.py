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
from multiprocessing.connection import Connection

from pushgate.bench.callers import Callers
from pushgate.bench.devices import Devices
from pushgate.bench.options import SPARE_FILES, Common, Share
from pushgate.bench.payload import BareRequest, Ids, PushRequest, one_user, padding_for, upgrade_request
from pushgate.bench.swarm import Swarm
from pushgate.bench.tokens import sign
from pushgate.bench.totals import Progress, Totals

_TICK_NS = 250_000_000
_QUIET_NS = 5_000_000_000  # messages still missing after so long without any are given up
_TOKEN_LIFE = 24 * 3600


class Worker:
    """Runs one share of a bench until it is told to end."""

    def __init__(self, pipe: Connection, common: Common, share: Share, window: int) -> None:
        """Prepares every request ahead, so that no signing falls into what is measured."""
        self._pipe = pipe
        self._common = common
        self._share = share
        callers = share.calls.callers if share.calls else 0
        # Descriptors are given out from the lowest free one, so none will be higher than this.
        room = share.count + share.idle + callers + SPARE_FILES + max(map(int, os.listdir("/proc/self/fd")))
        self._devices = Devices(share.count + share.idle, common.ack_every) if common.devices else None
        clients = common.target.clients
        self._swarm = Swarm(clients, room, share.first, common.sources, window, common.bare, self._devices)
        self._swarm.watch(pipe.fileno())
        self._requests = self._upgrades()
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
                self._tell()
        self._swarm.close()

    def _upgrades(self) -> list[bytes]:
        target, share = self._common.target, self._share
        expires = int(time.time()) + _TOKEN_LIFE
        users = [f"u{share.first_user + index // self._common.per_user}" for index in range(share.count)]
        users += [f"idle{share.first + index}" for index in range(share.idle)]
        signed = (sign(target.token_secret, user, target.tenant, expires) for user in users)
        if not self._common.devices:
            pairs = zip(users, signed, strict=True)
            return [upgrade_request(target.clients.of(user), token) for user, token in pairs]
        run = os.urandom(8).hex()
        return [upgrade_request(target.clients, token, f"{run}-{number:019d}") for number, token in enumerate(signed)]

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
            self._swarm.open(self._requests)
        elif command == "round":
            self._goal = self._swarm.messages + sum(1 for _ in self._swarm.live())
        elif command == "deaf" and self._devices:
            self._devices.deaf = True
            self._goal = self._share.missed * sum(1 for _ in self._swarm.live())
        elif command in ("resume", "cut") and self._devices:
            self._devices.deaf = False
            self._goal += self._swarm.messages
            self._swarm.persist()
            if command == "cut":
                self._swarm.cut()
        elif command == "storm":
            self._swarm.storm()
        elif command == "call" and self._callers and self._share.calls:
            self._swarm.forget_messages()
            self._callers.connect(self._share.calls.callers)
            self._callers.start(self._share.calls.seconds, self._share.calls.rate)
        self._tell()
        return True

    def _done(self, now: int) -> bool:
        """Whether the present phase is over."""
        if self._phase in ("connect", "storm"):
            return self._swarm.settled
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
        expected = sum(callers.accepted) * self._common.per_user
        newest = max(self._swarm.last_ns, callers.last_ns)
        return self._swarm.messages >= expected or now - newest > _QUIET_NS

    def _tell(self) -> None:
        swarm, callers = self._swarm, self._callers
        failed, lost = swarm.failures.total(), swarm.lost.total()
        answers = callers.answered if callers else 0
        progress = Progress(
            self._commands,
            self._told,
            swarm.opened,
            failed,
            lost,
            swarm.messages,
            answers,
            swarm.last_ns,
            time.process_time(),
        )
        self._pipe.send(progress)

    def _totals(self) -> Totals:
        swarm, callers = self._swarm, self._callers
        totals = Totals(
            opened=swarm.opened,
            messages=swarm.messages,
            received=swarm.received,
            failures=swarm.failures,
            lost=swarm.lost,
            handshakes=swarm.handshakes,
            latencies=swarm.latencies,
            connect_first_ns=swarm.first_ns,
            connect_last_ns=swarm.ready_ns,
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
        for fd in self._swarm.live():
            number = self._swarm.number[fd]
            if number < self._share.count:
                want, got = callers.accepted[number // per_user], self._swarm.got[fd]
                arrived += min(want, got)
                totals.surplus += max(0, got - want)
        totals.missing = totals.expected - arrived
