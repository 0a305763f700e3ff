"""What a Redis says of itself, and what that means for what was answered."""

import pytest

from pushgate.errors import InboxUnavailable
from pushgate.inbox.redis_server import NO_FILE, REPLICAS, read_standing


def info(**facts: object) -> str:
    told = {"redis_version": "7.2.4", "run_id": "abc", "aof_enabled": 1, "second_repl_offset": -1} | facts
    return "# Server\r\n" + "".join(f"{name}:{value}\r\n" for name, value in told.items())


def test_it_is_safe_when_it_syncs_before_it_answers() -> None:
    assert read_standing(info(), "always") == ("abc", True, False, "nothing that was answered")


@pytest.mark.parametrize(("aof", "fsync", "loses"), [(1, "everysec", "two seconds"), (1, "", "does not tell")])
def test_else_it_may_lose_its_last_writes(aof: int, fsync: str, loses: str) -> None:
    standing = read_standing(info(aof_enabled=aof), fsync)
    assert not standing.safe
    assert loses in standing.loses


def test_without_a_file_it_may_lose_everything() -> None:
    assert read_standing(info(aof_enabled=0), "always") == ("abc", False, False, NO_FILE)


def test_a_replica_may_take_its_place_or_has_done_so() -> None:
    assert read_standing(info(connected_slaves=1), "always").loses.endswith(REPLICAS)
    assert read_standing(info(second_repl_offset=1234), "always").promoted


@pytest.mark.parametrize("version", ["6.2.14", "", "?"])
def test_an_old_one_is_named(version: str) -> None:
    with pytest.raises(InboxUnavailable, match="Redis 7 or newer is needed"):
        read_standing(info(redis_version=version), "always")


def test_one_that_throws_messages_away_is_not_used() -> None:
    assert read_standing(info(maxmemory=0, maxmemory_policy="allkeys-lru"), "always").safe
    assert read_standing(info(maxmemory=1000, maxmemory_policy="noeviction"), "always").safe
    with pytest.raises(InboxUnavailable, match=r"allkeys-lfu.*expected noeviction"):
        read_standing(info(maxmemory=1000, maxmemory_policy="allkeys-lfu"), "always")
