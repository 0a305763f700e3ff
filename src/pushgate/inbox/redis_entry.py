"""Entries and cursors as Redis has them, and the names of keys."""

import struct

from pushgate.inbox.base import Cursor, Device, Draft, Entry

_SIZES = struct.Struct(">HI")


def root_key(prefix: str) -> str:
    """Return what all keys of a gateway begin with: in a cluster they are in one slot, that of `{<prefix>}`."""
    return f"{{{prefix}}}:inbox"


def tenant_key(prefix: str, tenant: str) -> str:
    """Return the key of a tenant, which those of its logs begin with."""
    return f"{root_key(prefix)}:{tenant}"


def cursor_key(device: Device) -> str:
    """Return what behind `root_key` is the key of the cursors of a device's user."""
    return f"+cursors:{device.tenant}:{device.uid}"


def pack_draft(draft: Draft) -> tuple[bytes | str | int, ...]:
    """Return a draft as APPEND wants it."""
    uid, key = draft.uid.encode(), draft.collapse
    packed_key = b"" if key is None else key.encode()
    sizes = _SIZES.pack(len(uid), 0 if key is None else len(packed_key) + 1)
    record = b"".join((sizes, uid, packed_key, draft.payload))
    return uid, draft.id, draft.ttl, "" if key is None else f"={key}", record


def unpack_entry(tenant: str, member: bytes) -> Entry:
    """Return an entry from `<offset> <record>`."""
    place = member.index(b" ")
    start = place + 1 + _SIZES.size
    uid_size, key_size = _SIZES.unpack_from(member, place + 1)
    payload = start + uid_size + max(0, key_size - 1)
    return Entry(tenant, member[start : start + uid_size].decode(), int(member[:place]), member[payload:])


def unpack_cursor(value: bytes | None, oldest: float) -> Cursor | None:
    """Return a cursor, None when there is none that was stored after `oldest`."""
    if value is None:
        return None
    offset, epoch, stored = value.split(b" ")
    return Cursor(int(offset), epoch.decode(), int(stored)) if int(stored) > oldest else None
