import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushgate.messages.push import Push, Trail, decode_push, encode_push
from pushgate.messages.shard import SHARDS, owner_of, shard_of

pushes = st.builds(
    Push,
    tenant=st.text(),
    uids=st.none() | st.lists(st.text()),
    id=st.text(),
    event=st.text(),
    time=st.integers(0, 2**53),
    data=st.binary(),
    binary=st.booleans(),
    device=st.none() | st.text(),
    tags=st.none() | st.lists(st.text()),
    except_session=st.none() | st.text(),
    spread=st.floats(0, 1e9),
    qos=st.sampled_from(["live", "reliable"]),
    ttl=st.integers(0, 2**31),
    collapse=st.none() | st.text(),
    trail=st.none() | st.builds(Trail, st.text(), st.text()),
)


@given(pushes)
def test_a_push_survives_the_bus(push: Push) -> None:
    assert decode_push(encode_push(push)) == push


@given(st.binary())
def test_anything_else_is_told_by_a_value_error(payload: bytes) -> None:
    try:
        decode_push(payload)
    except ValueError:
        pass


def test_neighbouring_versions_read_each_other() -> None:
    push = Push("t", ["u"], "i", "e", 1, b"1")
    fields = msgspec.msgpack.decode(encode_push(push))
    assert decode_push(msgspec.msgpack.encode([*fields, "a field of the future"])) == push
    assert decode_push(msgspec.msgpack.encode(fields[:6])) == push
    followed = Push("t", ["u"], "i", "e", 1, b"1", trail=Trail("r", "p"))
    fields = msgspec.msgpack.decode(encode_push(followed))
    *_, trail = fields
    assert decode_push(msgspec.msgpack.encode([*fields[:-1], [*trail, "a field of the future"]])) == followed


def test_a_node_that_knows_no_trails_reads_a_push_that_has_one() -> None:
    kinds = [(each.encode_name, each.type, each.default) for each in msgspec.structs.fields(Push)[6:-1]]
    needed = [(each.encode_name, each.type) for each in msgspec.structs.fields(Push)[:6]]
    before = msgspec.msgpack.Decoder(msgspec.defstruct("PushBefore", [*needed, *kinds], array_like=True))
    followed = Push("t", ["u"], "i", "e", 1, b"1", trail=Trail("r", "p"))
    read = before.decode(encode_push(followed))
    assert msgspec.structs.astuple(read) == msgspec.structs.astuple(followed)[:-1]
    assert decode_push(msgspec.msgpack.encode(read)) == msgspec.structs.replace(followed, trail=None)


@pytest.mark.parametrize(
    ("tenant", "uid", "shard"),
    [("default", "alice", 107), ("default", "bob", 153), ("acme", "alice", 43), ("", "", 141)],
)
def test_shards_never_change(tenant: str, uid: str, shard: int) -> None:
    """Every node must agree, of every version: these are written down."""
    assert shard_of(tenant, uid) == shard


def test_shards_are_even_and_owned_by_one() -> None:
    counts = [0] * SHARDS
    for number in range(SHARDS * 100):
        counts[shard_of("default", f"user{number}")] += 1
    assert min(counts) > 50
    assert max(counts) < 150
    for workers in (1, 2, 3, 64):
        owners = [owner_of(shard, workers) for shard in range(SHARDS)]
        assert set(owners) == set(range(workers))
