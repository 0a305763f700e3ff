"""Reliable pushes: into the inbox, an entry for each user's log, and what became of that as an answer."""

from collections.abc import Sequence

from msgspec import structs

from pushgate.errors import Problem
from pushgate.inbox.base import EVERYONE, Appended, Draft, Inbox, Outcome, Refused, Unknown
from pushgate.messages.push import Push, encode_push

FULL_RETRY = 30
"""Seconds after which a caller may see whether a full inbox has room again."""


def to_drafts(push: Push) -> list[Draft]:
    """Return the entries of a push, one for each log that it goes to; those of a push to many share its id.

    An entry does not name the other users: it would be as long as the list, for each of them.
    """
    uids = [EVERYONE] if push.uids is None else push.uids
    payload = encode_push(push if len(uids) == 1 else structs.replace(push, uids=[]))
    return [Draft(uid, push.id, payload, push.ttl, push.collapse) for uid in uids]


def judge(outcomes: Sequence[Outcome]) -> Appended:
    """Return what became of a push whose entries have these outcomes: the highest offset.

    It is a duplicate when every entry was there before. Raises Problem unless all of them are there: 413 or 429 when
    one was refused, 503 when of one is not known; the push is then safe to repeat with its id.
    """
    appended = [outcome for outcome in outcomes if isinstance(outcome, Appended)]
    if len(appended) == len(outcomes):
        return Appended(max(each.offset for each in appended), all(each.duplicate for each in appended))
    refused = next((outcome for outcome in outcomes if isinstance(outcome, Refused)), None)
    if refused is not None:
        if refused.code == "too_large":
            raise Problem("too_large", refused.detail)
        raise Problem(refused.code, refused.detail, retry_after=FULL_RETRY)
    unknown = next(outcome for outcome in outcomes if isinstance(outcome, Unknown))
    raise Problem("inbox_unavailable", f"{unknown.detail}: safe to repeat with its `id`")


async def append_pushes(inbox: Inbox, tenant: str, pushes: Sequence[Push]) -> list[Appended | Problem]:
    """Append reliable pushes together, and return what became of each. It awaits nothing but the inbox."""
    drafts = [to_drafts(push) for push in pushes]
    outcomes = await inbox.append(tenant, [draft for each in drafts for draft in each])
    judged: list[Appended | Problem] = []
    start = 0
    for each in drafts:
        try:
            judged.append(judge(outcomes[start : start + len(each)]))
        except Problem as problem:
            judged.append(problem)
        start += len(each)
    return judged
