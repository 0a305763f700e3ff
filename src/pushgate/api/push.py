"""The push route, whoever speaks HTTP for it: who may push, what is a valid push, and onto the bus with it."""

from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Callable
from random import getrandbits
from time import monotonic, time_ns
from typing import NamedTuple

from msgspec import UNSET, Raw, json, msgpack

from pushgate.api.bodies import BodyReader, Errors, bad_body
from pushgate.api.calls import Call
from pushgate.api.context import ApiContext
from pushgate.api.keys import Keys
from pushgate.api.notation import JSON_TYPE, MSGPACK, MSGPACK_TYPES, media_of
from pushgate.api.problems import Answer, answer_problem, internal_error
from pushgate.api.reliable import append_pushes
from pushgate.api.request_id import REQUEST_ID, new_request_id
from pushgate.api.rules import has_control
from pushgate.api.said import say_json, say_packed
from pushgate.api.schemas import MAX_TTL, BatchAnswered, BatchBody, PushAccepted, PushBody
from pushgate.errors import BusUnavailable, Problem
from pushgate.inbox.base import Appended, Inbox
from pushgate.messages.device import is_device
from pushgate.messages.push import Push
from pushgate.metrics.catalogue import PUSHES, PUSHES_REFUSED
from pushgate.routing.addressing import to_parcels
from pushgate.tenants.registry import Quota

PUSH_PATH = "/v1/push"
BATCH_PATH = "/v1/push/batch"
DEFAULT_TTL = 3600

Say = Callable[[Raw, Errors], tuple[bytes, bool]]


class Form(NamedTuple):
    """One media type of pushes: how a body is read, what its `data` says, and how the answer is written."""

    media: str
    read: Callable[[bytes], PushBody]
    read_batch: Callable[[bytes], BatchBody]
    say: Say
    encode: Callable[[PushAccepted | BatchAnswered], bytes]


JSON_FORM = Form(JSON_TYPE, BodyReader(PushBody).read, BodyReader(BatchBody).read, say_json, json.Encoder().encode)
_PACKED = (
    BodyReader(PushBody, MSGPACK).read,
    BodyReader(BatchBody, MSGPACK).read,
    say_packed,
    msgpack.Encoder().encode,
)
FORMS = {JSON_TYPE: JSON_FORM} | {media: Form(media, *_PACKED) for media in MSGPACK_TYPES}
"""The media types that pushes are taken in, and answered in."""


class PushRoute:
    """`POST /v1/push` of one worker."""

    def __init__(self, context: ApiContext) -> None:
        self._context = context
        self._row = context.row
        self._tenants = context.tenants
        self._addressing = context.addressing
        self.keys = Keys(context.tenants)
        self.max_body = context.config.management.max_body
        self._max_ttl = context.config.inbox.max_ttl

    def admit(self, authorization: bytes | None, content_type: bytes | None) -> tuple[str, Form]:
        """Return whose push it is and what it is written in. Raises Problem 401, 403, 415."""
        tenant = self.keys.admit(authorization)
        if content_type == b"application/json":
            return tenant, JSON_FORM
        return tenant, FORMS[media_of(content_type, *FORMS)]

    async def push(
        self, tenant: str, body: bytes, form: Form, request_id: str = "", call: Call | None = None
    ) -> Answer:
        """Return the answer to a push: 202 once the bus has it, else a problem. Never raises. `call` has it followed.

        It awaits nothing but the bus, and the directory where there is one, so with a bus that answers at once it
        completes in its first step.
        """
        row = self._row
        try:
            quota = self.quota_of(tenant)
            push, kind = self.read(tenant, body, form, quota)
            self.charge(quota, 1)
            if call is not None:
                (push,) = call.follow((push,))
            if push.qos == "reliable":
                accepted = accept(push, (await append_pushes(self.inbox(), tenant, (push,)))[0])
            else:
                addressing = self._addressing
                parcels = to_parcels(push) if addressing is None else await addressing.address((push,))
                await self._context.bus.publish(parcels)
                accepted = PushAccepted(push.id)
        except Problem as problem:
            return self.refuse(problem, request_id)
        except BusUnavailable as error:
            return self.refuse(Problem("bus_unavailable", str(error)), request_id)
        except Exception as error:
            request_id = request_id or new_request_id()
            return self.refuse(internal_error(error, request_id), request_id)
        row[kind] += 1
        row[quota.pushes_slot] += 1
        headers = ((REQUEST_ID, request_id),) if request_id else ()
        return Answer(202, form.encode(accepted), headers, form.media)

    def read(self, tenant: str, body: bytes, form: Form, quota: Quota) -> tuple[Push, int]:
        """Return the push that a body asks for, and the slot that counts its kind.

        Raises Problem: 400 for a wrong body, 413 for a message over the tenant's size.
        """
        wanted = form.read(body)
        push = to_push(tenant, wanted, form.say, quota.max_ttl or self._max_ttl)
        if quota.max_message and len(push.data) > quota.max_message:
            raise Problem(
                "too_large",
                f"the data is {len(push.data)} bytes, and this tenant's messages have {quota.max_message} at most",
            )
        user, users, everyone = _KINDS[push.qos]
        return push, everyone if push.uids is None else users if wanted.user is UNSET else user

    def inbox(self) -> Inbox:
        """Return the inbox. Raises Problem 409 on a node without one."""
        if self._context.inbox is None:
            raise Problem("no_inbox", "this node keeps no reliable messages (inbox.url is `none`)")
        return self._context.inbox

    def quota_of(self, tenant: str) -> Quota:
        """Return what a tenant may take. Raises Problem 401 when it is gone since its key was looked at."""
        quota = self._tenants.quota_of(tenant)
        if quota is None:
            raise Problem("unauthorized", "no tenant has this API key")
        return quota

    def charge(self, quota: Quota, count: int) -> None:
        """Count so many pushes against their tenant's rate, all of them or none. Raises Problem 429."""
        limit = quota.pushes_per_second
        if limit and not self._context.rows.take(self._row, quota.window, count, limit, int(monotonic())):
            raise Problem("rate_limited", f"this tenant pushes {limit} times a second at most", retry_after=1)

    def refuse(self, problem: Problem, request_id: str, count: int = 1) -> Answer:
        """Return the answer to pushes that are not taken, and count them."""
        self._row[PUSHES_REFUSED.get(str(problem.status), PUSHES_REFUSED["other"])] += count
        return answer_problem(problem, request_id)

    def too_large(self) -> Problem:
        """Return the problem of a body over the limit."""
        return Problem("too_large", f"the body is over {self.max_body} bytes (management.max_body)")


_KINDS = {qos: tuple(PUSHES[qos, kind] for kind in ("user", "users", "everyone")) for qos in ("live", "reliable")}


def accept(push: Push, outcome: Appended | Problem) -> PushAccepted:
    """Return the answer to a reliable push with this outcome. Raises Problem."""
    if isinstance(outcome, Problem):
        raise outcome
    return PushAccepted(push.id, outcome.offset, outcome.duplicate or UNSET)


def to_push(tenant: str, body: PushBody, say: Say = say_json, max_ttl: int = MAX_TTL) -> Push:
    """Return the push that a body asks for, accepted now; `say` knows how its `data` is written.

    `max_ttl` are the seconds that the tenant's messages may be kept.

    Raises Problem that names every field that is wrong.
    """
    errors: Errors = []
    user = body.user
    uids: list[str] | None
    if user is not UNSET and body.users is UNSET and body.everyone is UNSET:
        uids = [user]
        if has_control(user):
            errors.append(("user", _CONTROL))
    else:
        uids = _uids(body, errors)
    data = body.data
    if data is UNSET or body.data_base64 is not UNSET:
        payload, binary = _payload(body, errors)
    else:
        payload, binary = say(data, errors)
    ttl = min(DEFAULT_TTL, max_ttl) if body.qos == "reliable" else 0
    if body.ttl is not UNSET:
        ttl = int(body.ttl)
        if ttl > max_ttl:
            errors.append(
                ("ttl", f"expected a whole number of seconds, 1 to {max_ttl}, this tenant's limit, got {ttl}")
            )
    if has_control(body.event):
        errors.append(("event", _CONTROL))
    if body.qos != "live" or body.collapse is not UNSET or body.spread is not UNSET:
        _check_qos(body, errors)
    device, tags, except_session = body.device, body.tags, body.except_session
    if device is not UNSET and not is_device(device):
        errors.append(("device", "expected 1 to 64 of A-Z a-z 0-9 . _ : -, got another character"))
    if tags is not UNSET:
        errors.extend((f"tags[{index}]", _CONTROL) for index, tag in enumerate(tags) if has_control(tag))
    now = time_ns() // 1_000_000
    message_id = body.id
    if message_id is UNSET:
        message_id = f"{now:011x}{getrandbits(64):016x}"
    elif not (message_id.isascii() and message_id.isprintable()):
        errors.append(("id", "expected 1 to 128 printable ASCII characters, got another character"))
    if errors:
        raise bad_body(errors)
    return Push(
        tenant,
        uids,
        message_id,
        body.event,
        now,
        payload,
        binary,
        None if device is UNSET else device,
        None if tags is UNSET else tags,
        None if except_session is UNSET else except_session,
        0.0 if body.spread is UNSET else body.spread,
        body.qos,
        ttl,
        None if body.collapse is UNSET else body.collapse,
    )


_CONTROL = "expected no control characters, got one"


def _uids(body: PushBody, errors: Errors) -> list[str] | None:
    """Return whom a push is for when it is not the one `user`: None means everyone."""
    targets = [name for name in ("user", "users", "everyone") if getattr(body, name) is not UNSET]
    if len(targets) != 1:
        given = "none" if not targets else " and ".join(f"`{name}`" for name in targets)
        errors.extend(
            (name, f"expected exactly one of `user`, `users` and `everyone`, got {given}")
            for name in targets or ["user"]
        )
    if body.everyone is False:
        errors.append(("everyone", "expected true, got false"))
    if body.users is UNSET:
        return None
    errors.extend((f"users[{index}]", _CONTROL) for index, uid in enumerate(body.users) if has_control(uid))
    return list(dict.fromkeys(body.users))


def _payload(body: PushBody, errors: Errors) -> tuple[bytes, bool]:
    """Return what a push says when it is not plainly `data`, and whether that is bytes."""
    if body.data_base64 is UNSET:
        return b"null", False
    if body.data is not UNSET:
        errors.append(("data_base64", "expected only one of `data` and `data_base64`, got both"))
    try:
        return b64decode(body.data_base64, validate=True), True
    except (Base64Error, ValueError) as error:
        errors.append(("data_base64", f"expected base64 with padding (RFC 4648 section 4): {error}"))
        return b"", True


def _check_qos(body: PushBody, errors: Errors) -> None:
    """Check the fields that go with one kind of delivery only."""
    if body.collapse is not UNSET and has_control(body.collapse):
        errors.append(("collapse", _CONTROL))
    if body.qos == "reliable" and body.except_session is not UNSET:
        errors.append(("except_session", "expected it with a `live` push only, got `reliable`"))
    if body.spread is not UNSET:
        if body.qos == "reliable":
            errors.append(("spread", "expected it with a `live` push only, got `reliable`"))
        if body.everyone is UNSET:
            errors.append(("spread", "expected it with `everyone` only"))
