import pytest

from pushgate.nats.replies import OVERDUE, Replies, Reply, header

EOB = b"NATS/1.0 204 EOB\r\nNats-Num-Pending: 0\r\n\r\n"


async def test_each_gets_the_answer_to_its_own_subject() -> None:
    replies = Replies("_INBOX.x.")
    (first, one), (second, two) = (replies.expect(0, many=False) for _ in range(2))
    assert first != second
    replies.take(second, b"", b"", b"2")
    replies.take(first, b"", b"NATS/1.0\r\nA: b\r\n\r\n", b"1")
    assert await one == [Reply(0, b"NATS/1.0\r\nA: b\r\n\r\n", b"1")]
    assert await two == [Reply(0, b"", b"2")]


async def test_many_are_collected_up_to_one_with_a_status() -> None:
    replies = Replies("_INBOX.x.")
    subject, many = replies.expect(0, many=True)
    for payload in (b"1", b"2"):
        replies.take(subject, b"", b"NATS/1.0\r\nNats-Sequence: 1\r\n\r\n", payload)
    assert not many.done()
    replies.take(subject, b"", EOB, b"")
    assert [(reply.status, reply.payload) for reply in await many] == [(0, b"1"), (0, b"2"), (204, b"")]
    replies.take(subject, b"", b"", b"late")


async def test_a_status_answers_a_single_request_too() -> None:
    replies = Replies("_INBOX.x.")
    subject, one = replies.expect(0, many=False)
    replies.take(subject, b"", b"NATS/1.0 503\r\n\r\n", b"")
    assert [reply.status for reply in await one] == [503]


async def test_who_waited_too_long_is_told_and_others_wait_on() -> None:
    replies = Replies("_INBOX.x.")
    (_, old), (subject, young) = replies.expect(5, many=False), replies.expect(6, many=True)
    replies.give_up(5 + OVERDUE - 1)
    assert not old.done()
    replies.give_up(5 + OVERDUE)
    assert await old == []
    assert not young.done()
    replies.take(subject, b"", EOB, b"")
    assert len(await young) == 1


async def test_when_the_connection_is_lost_everyone_is_told_also_who_asks_then() -> None:
    replies = Replies("_INBOX.x.")
    subject, one = replies.expect(0, many=False)
    one.cancel()
    _, two = replies.expect(0, many=False)
    replies.lose()
    assert await two == []
    assert await replies.expect(0, many=True)[1] == []
    replies.take(subject, b"", b"", b"late")


@pytest.mark.parametrize(
    ("name", "value"), [(b"A", b"1"), (b"B-Long", b"x: y"), (b"C", b""), (b"None", b""), (b"ong", b"")]
)
def test_a_header_is_found_by_its_whole_name(name: bytes, value: bytes) -> None:
    assert header(b"NATS/1.0 204 EOB\r\nA: 1\r\nB-Long:x: y\r\nC:\r\n\r\n", name) == value
