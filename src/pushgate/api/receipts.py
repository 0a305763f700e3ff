"""Receipts of reliable messages: whether one is kept, and which devices have it. They are made of cursors alone."""

from litestar import get

from pushgate.api.admission import AnyRequest, admit_reader, push_route_of
from pushgate.api.asking import ask
from pushgate.api.openapi import Operation, Parameter
from pushgate.api.paths import bad_part, check_uid, part_of, query_of
from pushgate.api.reports import DeviceReceipt, Reached, Receipt
from pushgate.api.rules import MAX_SAFE_INTEGER
from pushgate.api.schemas import MAX_ID, Everyone, MessageId, Offset, Uid
from pushgate.errors import InboxUnavailable, Problem
from pushgate.inbox.base import EVERYONE, Inbox
from pushgate.messages import questions
from pushgate.messages.push import Push, decode_push

BEFORE = 4096
"""Offsets before the one that is asked for in which a user's message is looked for: a push to many users has an entry
for each of them, and the answer to it the highest offset."""
PAGE = 64
"""Entries that are read at once."""

RECEIPT = Operation(
    "Ask for a receipt",
    "Whether a reliable message is kept, and which of the user's devices have acknowledged it: those whose cursor is "
    "known and, where the message is narrowed to a device, that one. Of a message to everyone, how many of the devices "
    "that are connected now. `offset` is the one that the push was answered with. `gone` means that nothing is kept "
    "there any more: the message expired, was replaced by a newer one with its `collapse` key, or never was; "
    "`acknowledged` then says that the device is past it. 404 when the inbox never gave this offset, or has another "
    "message there. A message that is not for a device (`tags`) counts as acknowledged once the device is past it.",
    200,
    Receipt,
    parameters=(
        Parameter("id", MessageId, "order-7"),
        Parameter("user", Uid, "alice", "query", required=False),
        Parameter("everyone", Everyone, None, "query", required=False),
        Parameter("offset", Offset, 1, "query"),
    ),
    answer_example={
        "id": "order-7",
        "offset": 1,
        "state": "kept",
        "accepted": 1767225600000,
        "expires": 1767312000,
        "devices": [
            {"device": "laptop", "acknowledged": False, "cursor": 0, "connected": False},
            {"device": "phone-1", "acknowledged": True, "cursor": 1, "connected": True},
        ],
        "missing": [],
    },
    problems=(
        "bad_request",
        "unauthorized",
        "not_found",
        "no_inbox",
        "internal_error",
        "inbox_unavailable",
        "bus_unavailable",
        "unavailable",
    ),
)


@get("/v1/messages/{id:str}", opt={"operation": RECEIPT})
async def find_receipt(request: AnyRequest) -> Receipt:
    """Return the receipt of a message."""
    tenant, _ = admit_reader(request)
    message = part_of(request, "id")
    if not (1 <= len(message) <= MAX_ID and message.isascii() and message.isprintable()):
        raise bad_part("path", "id", "expected 1 to 128 printable ASCII characters, got something else")
    uid, offset = _read_query(request)
    inbox = push_route_of(request).inbox()
    try:
        found = await find_entry(inbox, tenant, uid, message, offset)
        receipt = _describe(message, offset, found)
        if uid == EVERYONE:
            return await _count_devices(request, tenant, receipt)
        return await _list_devices(request, inbox, tenant, uid, receipt, found[1].device if found else None)
    except InboxUnavailable as error:
        raise Problem("inbox_unavailable", str(error)) from None


async def find_entry(inbox: Inbox, tenant: str, uid: str, message: str, offset: int) -> tuple[int, Push] | None:
    """Return the message of this id in a log, and its offset, which is the one given or, for a user, somewhat below.

    None when it is not there, but may have been. Raises Problem 404 when it cannot have been, and InboxUnavailable.
    """
    for entry in await inbox.read(tenant, uid, offset - 1, 1):
        if entry.offset == offset:
            push = decode_push(entry.payload)
            if entry.uid == uid and push.id == message:
                return offset, push
            raise Problem("not_found", f"the message at offset {offset} is another one")
    if offset > await inbox.newest(tenant, confirmed=True):
        raise Problem("not_found", f"no message has an offset of {offset} yet")
    after = offset if uid == EVERYONE else max(0, offset - BEFORE)
    while after < offset:
        page = await inbox.read(tenant, uid, after, PAGE)
        for entry in page:
            if entry.offset < offset and entry.uid == uid:
                push = decode_push(entry.payload)
                if push.id == message:
                    return entry.offset, push
        after = page[-1].offset if len(page) == PAGE else offset
    return None


def _read_query(request: AnyRequest) -> tuple[str, int]:
    """Return whose log is meant and the offset. Raises Problem 400."""
    query = query_of(request)
    for name in query:
        if name not in ("user", "everyone", "offset"):
            raise bad_part("query", name[:64], "no such field")
    offset = query.get("offset", "")
    if not (offset.isascii() and offset.isdecimal() and len(offset) <= 16 and 1 <= int(offset) <= MAX_SAFE_INTEGER):
        given = f"got {offset[:24]!r}" if "offset" in query else "got nothing"
        raise bad_part("query", "offset", f"expected the offset that the push was answered with, {given}")
    if ("user" in query) == ("everyone" in query):
        given = "both" if "user" in query else "none"
        raise bad_part("query", "user", f"expected exactly one of `user` and `everyone`, got {given}")
    if "user" in query:
        return check_uid("query", query["user"]), int(offset)
    if query["everyone"] != "true":
        raise bad_part("query", "everyone", f"expected true, got {query['everyone'][:24]!r}")
    return EVERYONE, int(offset)


def _describe(message: str, offset: int, found: tuple[int, Push] | None) -> Receipt:
    if found is None:
        return Receipt(message, offset, "gone", None, None)
    offset, push = found
    return Receipt(message, offset, "kept", push.time, push.time // 1000 + push.ttl)


async def _list_devices(
    request: AnyRequest, inbox: Inbox, tenant: str, uid: str, receipt: Receipt, only: str | None
) -> Receipt:
    """Add the devices of a user: stored cursors lag behind, so what live sessions know is laid over them."""
    epoch = inbox.epoch(tenant)
    stored = await inbox.find_cursors(tenant, uid)
    cursors = {name: cursor.offset if cursor.epoch == epoch else None for name, cursor in stored.items()}
    found = await ask(request, questions.Find(tenant, uid), questions.Sessions)
    connected = set()
    for _, reply in found.replies:
        for session in reply.sessions:
            if session.device is not None and session.acknowledged is not None:
                connected.add(session.device)
                cursors[session.device] = max(session.acknowledged, cursors.get(session.device) or 0)
    absent = None if found.missing else False
    receipt.devices = [
        DeviceReceipt(name, cursor is not None and cursor >= receipt.offset, cursor, name in connected or absent)
        for name, cursor in sorted(cursors.items())
        if only in (None, name)
    ]
    receipt.missing = found.missing
    return receipt


async def _count_devices(request: AnyRequest, tenant: str, receipt: Receipt) -> Receipt:
    """Add how many of the tenant's connected devices have everything up to a message."""
    found = await ask(request, questions.Reach(tenant, receipt.offset), questions.Reached)
    replies = [reply for _, reply in found.replies]
    receipt.connected = Reached(sum(reply.devices for reply in replies), sum(reply.acknowledged for reply in replies))
    receipt.missing = found.missing
    return receipt
