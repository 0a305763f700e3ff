"""What was pushed, what became of each push, and whether every device received what it was promised."""

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tests.faults.reliable_device import Device

EVERYONE = "everyone"


class Push(NamedTuple):
    """A push: to a user, or to EVERYONE; to one device of a user where it is narrowed. Pushes to one target are made
    one after the other, each once the one before was answered, so their numbers are the order to be received in."""

    target: str
    number: int
    device: str | None = None

    @property
    def id(self) -> str:
        return f"{self.target}-{self.number}"


class Ledger:
    """Who was promised what. `accepted` has the offset of each push that was answered 2xx."""

    def __init__(self, dice: random.Random) -> None:
        self.accepted: dict[Push, int] = {}
        self.refused: Counter[str] = Counter()
        self.open: set[Push] = set()
        """Pushes of which the caller was told an error: they may be received or not."""
        self.faults: list[str] = []
        self.answers: Counter[str] = Counter()
        self._numbers: Counter[str] = Counter()
        self._dice = dice

    def draw(self, target: str, devices: Sequence[str] = ()) -> Push:
        """Return the next push to a target; to one of its devices now and then, where they are given."""
        self._numbers[target] += 1
        device = self._dice.choice(devices) if devices and self._dice.random() < 0.1 else None
        return Push(target, self._numbers[target], device)

    def complain(self, fault: str) -> None:
        """Note something that was not as promised."""
        if len(self.faults) < 50:
            self.faults.append(fault)

    def promised(self, device: Device) -> list[Push]:
        """Return what a device is to receive."""
        return [push for push in self.accepted if _is_for(push, device)]

    def missing(self, devices: Iterable[Device]) -> int:
        """Return how many messages devices lack."""
        owed = Counter((push.target, push.device) for push in self.accepted)
        have = wanted = 0
        for device in devices:
            wanted += owed[device.user, None] + owed[device.user, device.name] + owed[EVERYONE, None]
            have += len(device.ids)
        return wanted - have

    def judge(self, devices: Iterable[Device]) -> list[str]:
        """Return in words what was lost, doubled or out of order, and whatever else was not as promised."""
        faults = list(self.faults)
        offsets = {push.id: offset for push, offset in self.accepted.items()}
        for device in devices:
            name = f"{device.user}/{device.name}"
            promised = {push.id for push in self.promised(device)}
            lost = sorted(promised - device.ids)
            if lost:
                places = {identity: offsets[identity] for identity in lost[:5]}
                ends = [(each["cursor"], each["epoch"], each["missed"]) for each in device.welcomes[-3:]]
                faults.append(
                    f"{name} lost {len(lost)}: {places}; handled at the end {device.received[-5:]}; welcomed {ends}"
                )
            strange = device.ids - promised - {push.id for push in self.open if _is_for(push, device)}
            if strange:
                faults.append(f"{name} received what was not for it: {sorted(strange)[:5]}")
            faults += _disorder(name, device, offsets)
        return faults


def _disorder(name: str, device: Device, offsets: dict[str, int]) -> list[str]:
    """Return what a device received out of order or twice, by the numbers of each target; anew with each epoch."""
    faults = []
    epoch, last = "", dict[str, int]()
    for of_epoch, offset, identity in device.received:
        if of_epoch != epoch:
            epoch, last = of_epoch, {}
        target, _, number = identity.rpartition("-")
        if int(number) <= last.get(target, 0):
            faults.append(f"{name} received {identity} at {offset} after {target}-{last[target]}, in epoch {epoch}")
        last[target] = int(number)
        if offsets.get(identity, offset) != offset:
            faults.append(f"{name} received {identity} at {offset}; its caller was told {offsets[identity]}")
    return faults


def _is_for(push: Push, device: Device) -> bool:
    return push.target in (EVERYONE, device.user) and push.device in (None, device.name)
