"""What must hold for any bytes that come as a message, a token or a push: exact errors, and nothing half understood."""

from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import Any

from pushgate.api.push import FORMS, to_push
from pushgate.delivery.outgoing import Outgoing
from pushgate.errors import MessageError, Problem, TokenRefused, UpgradeRefused
from pushgate.messages import json_codec, msgpack_codec
from pushgate.messages.client import Connect, Error
from pushgate.messages.formats import FORMATS, Codec
from pushgate.messages.push import decode_push, encode_push
from pushgate.sessions.handshake import check_inbox
from pushgate.tenants.tokens import split_token

_JSON, _MSGPACK = FORMS["application/json"], FORMS["application/msgpack"]


def json_messages(data: bytes) -> None:
    """A text message (UTF-8: the reader has checked) is one of the protocol, or refused in the protocol's words."""
    _decode(json_codec, data.decode("utf-8", "replace").encode())


def msgpack_messages(data: bytes) -> None:
    """A binary message is one of the protocol, or refused in the protocol's words."""
    _decode(msgpack_codec, data)


def _decode(codec: Codec, payload: bytes) -> None:
    try:
        message = codec.decode(payload)
    except MessageError as error:
        assert codec.encode(Error(error.code, error.reason, error.field or "")), "the client can be told"
        return
    again: Callable[[Any], bytes] = codec.encode
    assert codec.decode(again(message)) == message
    if isinstance(message, Connect):
        try:
            check_inbox(message.device, message.cursor, message.epoch, message.from_)
        except UpgradeRefused as error:
            assert error.status == 400


def tokens(data: bytes) -> None:
    """A token is taken apart, or refused with words that fit a close frame; NUL bytes part what is to be encoded."""
    _split(data.decode("latin-1"))
    _split(data.decode("utf-8", "surrogateescape"))
    _split(".".join(urlsafe_b64encode(part).rstrip(b"=").decode() for part in data.split(b"\0")))


def _split(token: str) -> None:
    try:
        parts = split_token(token)
    except TokenRefused as refused:
        assert refused.close == 4500
        assert len(refused.reason.encode()) <= 123
        return
    assert 1 <= len(parts.payload.sub) <= 255
    assert token.encode().startswith(parts.signed + b".")


def bus_pushes(data: bytes) -> None:
    """What the bus brings is a push or a ValueError."""
    try:
        push = decode_push(data)
    except ValueError:
        return
    assert decode_push(encode_push(push)) == push


def json_pushes(data: bytes) -> None:
    """A JSON body is a push that goes into every format, or a Problem."""
    _accept(_JSON, data)


def msgpack_pushes(data: bytes) -> None:
    """A MessagePack body is a push that goes into every format, or a Problem."""
    _accept(_MSGPACK, data)


def _accept(form: Any, body: bytes) -> None:
    try:
        push = to_push("default", form.read(body), form.say)
    except Problem as problem:
        assert problem.code == "bad_request"
        assert problem.detail.encode()
        assert all(f"{field}{reason}".encode() for field, reason in problem.errors)
        return
    outgoing = Outgoing(decode_push(encode_push(push)))
    for number in range(len(FORMATS)):
        assert b"undeliverable" not in outgoing.fill(number) or b"undeliverable" in body


TARGETS: dict[Callable[[bytes], None], tuple[bytes, ...]] = {
    json_messages: (
        b'{"type":"ping"}',
        b'{"type":"ack","offset":12}',
        b'{"type":"connect","token":"a.b.c","device":"d","cursor":0,"epoch":"e","from":"now","x":[1,{"a":null}]}',
        '{"x":"\\ud83c\\udf89é","type":"refresh","token":"a"}'.encode(),
    ),
    msgpack_messages: (
        b"\x81\xa4type\xa4ping",
        b"\x82\xa4type\xa3ack\xa6offset\x0c",
        b"\x83\xa4type\xa7connect\xa5token\xa1a\xa6cursor\xcf\x00\x00\x00\x00\x00\x00\x00\x01",
        b"\x83\xa4type\xa7refresh\xa5token\xa1a\xa1x\xd7\xff\x00\x00\x00\x00\x00\x00\x00\x00",
    ),
    tokens: (
        b'{"alg":"HS256","typ":"JWT","kid":"a"}\0{"sub":"alice","exp":4000000000,"tags":["a"],"nbf":1}\0signature',
        b"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln",
        b'{"alg":"none","crit":["b64"],"jwk":{}}\0{"sub":"a","tenant":"t","aud":"x"}\0',
    ),
    bus_pushes: (b"\x97\xa1t\x91\xa1u\xa1i\xa1e\x01\xc4\x011\xc2", b"\x96\xa1t\xc0\xa1i\xa1e\x01\xc4\x011"),
    json_pushes: (
        b'{"user":"alice","data":{"a":[1,2.5,"x",null,true]},"event":"e","id":"i"}',
        b'{"users":["a","b"],"data_base64":"3q2+7w==","device":"d","tags":["t"],"except_session":"0123456789abcdef"}',
        b'{"everyone":true,"spread":1.5,"data":"\\ud83c\\udf89","qos":"reliable","ttl":5,"collapse":"c"}',
    ),
    msgpack_pushes: (
        b"\x82\xa4user\xa5alice\xa4data\x82\xa1a\x93\x01\xcb?\xf8\x00\x00\x00\x00\x00\x00\xc0\xa1b\xc3",
        b"\x82\xa8everyone\xc3\xa4data\xc4\x03abc",
        b"\x82\xa5users\x92\xa1a\xa1b\xabdata_base64\xa4AAAA",
    ),
}
"""Each property, and what fuzzing it begins with."""
