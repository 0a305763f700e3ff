"""Connections and handshakes by address, of two workers that share the numbers."""

import random
from ipaddress import IPv4Address, IPv6Address

import pytest

from pushgate.sockets.addresses import BUCKETS, WINDOWS, AddressCounts

V4_IN_V6 = bytes(10) + b"\xff\xff"


def v4(text: str | int) -> bytes:
    return V4_IN_V6 + IPv4Address(text).packed


def v6(text: str) -> bytes:
    return IPv6Address(text).packed


def test_connections_of_all_workers_count() -> None:
    counts = AddressCounts(2)
    one, other = counts.worker(0), counts.worker(1)
    here, there = v4("192.0.2.1"), v4("192.0.2.2")
    assert [one.enter(here), other.enter(here), one.enter(here), other.enter(there)] == [1, 2, 3, 1]
    one.leave(here)
    assert [other.enter(here), one.enter(there)] == [3, 2]


def test_a_dead_workers_connections_are_forgotten_and_the_others_stay() -> None:
    counts = AddressCounts(3)
    workers = [counts.worker(index) for index in range(3)]
    addresses = [v4(number) for number in range(20)]
    for worker in workers:
        for address in addresses:
            worker.enter(address)
    counts.clear(1)
    for address in addresses:
        assert workers[1].enter(address) == 3, "two others' and this one"
    for worker in workers:
        for address in addresses:
            worker.leave(address)
    assert not any(counts._connections)


def test_an_ipv6_address_is_its_64_and_a_mapped_one_is_its_ipv4() -> None:
    worker = AddressCounts(1).worker(0)
    assert worker.enter(v6("2001:db8:0:1::1")) == 1
    assert worker.enter(v6("2001:db8:0:1:ffff::2")) == 2
    assert worker.enter(v6("2001:db8:0:2::1")) == 1
    assert worker.enter(v6("::ffff:192.0.2.1")) == 1
    assert worker.enter(v4("192.0.2.1")) == 2
    assert worker.enter(v4("192.0.2.2")) == 1


def test_a_count_is_never_too_low_and_many_addresses_make_it_little_too_high() -> None:
    counts = AddressCounts(4)
    workers = [counts.worker(index) for index in range(4)]
    strangers = 400_000
    for number in range(strangers):
        workers[number & 3].enter(v4(number))
    mean = strangers / BUCKETS
    for crowd in range(20):
        address = v4(f"198.51.100.{crowd}")
        seen = [workers[index % 4].enter(address) for index in range(900)]
        for real, told in enumerate(seen, 1):
            assert real <= told <= real + 5 * mean, "carriers' addresses do not fall into one another's buckets"


def test_handshakes_of_the_second_count_wherever_they_came() -> None:
    counts = AddressCounts(2)
    one, other = counts.worker(0), counts.worker(1)
    here, there = v4("192.0.2.1"), v4("192.0.2.2")
    assert [one.knock(here, 7), other.knock(here, 7), one.knock(here, 7), one.knock(there, 7)] == [1, 2, 3, 1]
    assert [other.knock(here, 8), one.knock(here, 8)] == [1, 2], "the second before is over"


def test_a_worker_whose_second_has_begun_does_not_disturb_one_whose_has_not() -> None:
    counts = AddressCounts(2)
    early, late = counts.worker(0), counts.worker(1)
    here = v4("192.0.2.1")
    assert early.knock(here, 8) == 1
    assert late.knock(here, 7) == 1
    assert late.knock(here, 8) == 2


def test_two_thousand_handshakes_of_others_make_an_address_no_faster() -> None:
    counts = AddressCounts(2)
    one, other = counts.worker(0), counts.worker(1)
    rng = random.Random(1)
    for _ in range(2000):
        rng.choice((one, other)).knock(v4(rng.getrandbits(32)), 7)
    for _ in range(50):
        assert one.knock(v4(rng.getrandbits(32)), 7) <= 1 + 12 * 2000 / WINDOWS


@pytest.mark.parametrize("workers", [1, 2, 64])
def test_the_memory_is_small(workers: int) -> None:
    counts = AddressCounts(workers)
    assert counts._connections.nbytes + counts._handshakes.nbytes == workers * 320 * 1024


def test_strangers_cannot_know_where_they_collide() -> None:
    one, other = AddressCounts(1).worker(0), AddressCounts(1).worker(0)
    addresses = [v4(number) for number in range(64)]
    assert [one._buckets(each, BUCKETS) for each in addresses] != [other._buckets(each, BUCKETS) for each in addresses]
