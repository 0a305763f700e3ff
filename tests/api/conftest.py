from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.api.rig import Caller, Rig


@pytest.fixture
def make_rig() -> Iterator[Callable[..., Rig]]:
    made: list[Rig] = []

    def make(**settings: Any) -> Rig:
        made.append(Rig(**settings))
        return made[-1]

    yield make
    for rig in made:
        rig.close()


@pytest.fixture
def rig(make_rig: Callable[..., Rig]) -> Rig:
    return make_rig()


@pytest.fixture
def caller(rig: Rig) -> Iterator[Caller]:
    caller = rig.connect()
    yield caller
    caller.close()
