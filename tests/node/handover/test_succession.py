"""What has to be the same on both sides of an upgrade."""

import socket

import pytest

from pushgate.config import BusConfig, Config
from pushgate.errors import StartError
from pushgate.node.handover.heritage import Estate, Link
from pushgate.node.handover.succession import Succession
from pushgate.node.reload import fixed_settings

BROADCAST = Config(bus=BusConfig("nats://a"))
DIRECTORY = Config(bus=BusConfig("nats://a", routing="directory"))


def upgrade(old: Config, new: Config) -> None:
    """Have a node with one configuration taken over by one with another."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        succession = Succession(Link(ours))
        succession._estate = Estate(1, [], fixed_settings(old), b"", home=5)
        assert succession.home == 5
        succession.check_fixed(fixed_settings(new))


@pytest.mark.parametrize("config", [BROADCAST, DIRECTORY])
def test_the_same_settings_go_on(config: Config) -> None:
    upgrade(config, config)


@pytest.mark.parametrize(
    ("old", "new", "name"),
    [
        (BROADCAST, DIRECTORY, "bus.routing"),
        (DIRECTORY, BROADCAST, "bus.routing"),
        (BROADCAST, Config(bus=BusConfig("nats://b")), "bus"),
    ],
)
def test_others_change_with_a_restart(old: Config, new: Config, name: str) -> None:
    with pytest.raises(StartError, match=f"^{name}: changes with a restart only"):
        upgrade(old, new)


def test_who_broadcasts_is_taken_over_from_a_version_that_knows_nothing_else() -> None:
    assert "bus.routing" not in fixed_settings(BROADCAST)
