"""Where things are in NATS: the subjects of entries and cursors, and what texts look like in them.

    <prefix>.inbox.<tenant>.<shard>.<uid>           entries of a user's log
    <prefix>.inbox.<tenant>.<shard>.<uid>.<key>     with a collapse key: one subject a key
    <prefix>.inbox.<tenant>.all.e[.<key>]           the same of everyone's log
    <prefix>.cursors.<tenant>.<uid>.<device>

The tenant's stream is `<prefix>+inbox+<tenant>`, that of all cursors `<prefix>+cursors`. Entries without a key have a
subject without wildcard to be read by: with many subjects the server looks up a literal one at once, and walks through
everything for a wildcard.

Uids, keys and devices are encoded (a letter and base64url): a space in a subject would end the connection, and `*` or
`>` would be stored as a message that everyone gets. What would be longer than 255 characters is hashed; the uid is
then in a header.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from hashlib import blake2b

from pushgate.inbox.base import EVERYONE, Device
from pushgate.messages.shard import SHARDS, shard_of
from pushgate.nats.replies import header

LONGEST = 255
"""Characters of an encoded text."""
UID_HEADER = b"Uid"
"""Has the uid, encoded, where the subject has only its hash."""


class Subjects:
    """The subjects of one tenant's logs."""

    def __init__(self, prefix: str, tenant: str) -> None:
        self._tenant = tenant
        self.stream = f"{prefix}+inbox+{tenant}"
        self.root = f"{prefix}.inbox.{tenant}"
        self._first = len(self.root) + 1

    def log(self, uid: str) -> str:
        """Return the subject of a log's entries without a collapse key."""
        if uid == EVERYONE:
            return f"{self.root}.all.e"
        return f"{self.root}.{shard_of(self._tenant, uid)}.{_token('u', uid)}"

    def collapsed(self, uid: str, key: str) -> str:
        """Return the subject of a log's entries with a collapse key."""
        return f"{self.log(uid)}.{_token('k', key)}"

    def followed(self, shards: Sequence[int]) -> list[str]:
        """Return what matches the logs of some shards and of everyone."""
        if len(shards) == SHARDS:
            return [f"{self.root}.>"]
        return [f"{self.root}.all.>", *(f"{self.root}.{shard}.>" for shard in shards)]

    def place_of(self, log: str) -> str:
        """Return the part of a log's subject that says which shard it is of, or that it is everyone's."""
        return log[self._first :].partition(".")[0]

    def uid_of(self, subject: bytes, headers: bytes) -> str:
        """Return whose log a message is of."""
        token = subject[self._first :].split(b".", 2)[1]
        if token == b"e":
            return EVERYONE
        return _text(token if token[:1] == b"u" else header(headers, UID_HEADER))


def uid_header(uid: str) -> bytes:
    """Return the header line that an entry needs beside its subject, most often none."""
    token = _encode("u", uid)
    return b"" if len(token) <= LONGEST else b"%b: %b\r\n" % (UID_HEADER, token.encode())


def message_id(uid: str, own_id: str) -> bytes:
    """Return what the server knows an entry by: ids are unique in a stream, ours in a log."""
    return urlsafe_b64encode(blake2b(f"{uid}\0{own_id}".encode(), digest_size=15).digest())


class CursorSubjects:
    """The subjects of all cursors."""

    def __init__(self, prefix: str) -> None:
        self.stream = f"{prefix}+cursors"
        self.root = f"{prefix}.cursors"

    def cursor(self, device: Device) -> str:
        """Return the subject of one cursor."""
        return f"{self.root}.{device.tenant}.{_token('u', device.uid)}.{_token('d', device.device)}"

    def of_user(self, tenant: str, uid: str) -> str:
        """Return what matches all cursors of a user."""
        return f"{self.root}.{tenant}.{_token('u', uid)}.*"

    def device_of(self, subject: bytes) -> str:
        """Return the name of the device that a cursor is of."""
        return _text(subject.rpartition(b".")[2])


def _encode(letter: str, text: str) -> str:
    return letter + urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def _token(letter: str, text: str) -> str:
    token = _encode(letter, text)
    if len(token) > LONGEST:
        token = "h" + urlsafe_b64encode(blake2b(text.encode(), digest_size=30).digest()).decode()
    return token


def _text(token: bytes) -> str:
    encoded = token[1:]
    return urlsafe_b64decode(encoded + b"=" * (-len(encoded) % 4)).decode()
