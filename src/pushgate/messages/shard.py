"""Which of the 256 fixed shards a user belongs to."""

from zlib import crc32

SHARDS = 256


def shard_of(tenant: str, uid: str) -> int:
    """Return the shard, 0 to 255, of a user: the same on every node, for ever (CRC-32 of tenant, NUL, uid)."""
    return crc32(f"{tenant}\0{uid}".encode()) & 0xFF


def owner_of(shard: int, workers: int) -> int:
    """Return the index of the worker that owns a shard on a node with so many workers."""
    return shard % workers
