"""Pushes, batches and requests for tokens that are deep, huge, lying or without a right: bodies, keys and headers."""

import json

from msgspec import msgpack

from tests.hostile.api_http import AUTHORIZED, JSON, named
from tests.hostile.case import Case, Outcome, answers
from tests.hostile.http import cases, lines
from tests.hostile.keys import API_KEY, token

PACKED = "Content-Type: application/msgpack"
PUSH = b'{"user":"nobody","data":1}'


def request(body: bytes, *headers: str, path: str = "/v1/push") -> bytes:
    """A request with a body of the length that it has."""
    return lines(f"POST {path} HTTP/1.1", "Host: h", *headers, f"Content-Length: {len(body)}") + body


def pushes(outcome: Outcome, **bodies: bytes) -> list[Case]:
    """A JSON push of each body."""
    return cases(outcome, **{name: request(body, AUTHORIZED, JSON) for name, body in bodies.items()})


def packed(outcome: Outcome, **bodies: bytes) -> list[Case]:
    """A MessagePack push of each body."""
    return cases(outcome, **{f"packed {name}": request(body, AUTHORIZED, PACKED) for name, body in bodies.items()})


def batches(outcome: Outcome, **bodies: bytes) -> list[Case]:
    """A batch of each body."""
    sent = {name: request(body, AUTHORIZED, JSON, path="/v1/push/batch") for name, body in bodies.items()}
    return cases(outcome, **{f"batch {name}": each for name, each in sent.items()})


def many(*pushes: object) -> bytes:
    return json.dumps({"pushes": pushes}).encode()


def tokens(outcome: Outcome, **bodies: bytes) -> list[Case]:
    """A request for a client token of each body."""
    sent = {name: request(body, AUTHORIZED, JSON, path="/v1/tokens") for name, body in bodies.items()}
    return cases(outcome, **{f"token {name}": each for name, each in sent.items()})


def to_nobody(data: bytes) -> bytes:
    return b'{"user":"nobody","data":%b}' % data


def said(**fields: object) -> bytes:
    return json.dumps({"user": "nobody", **fields}).encode()


STAYS_400 = answers(400, stays=True)
STAYS_202 = answers(202, stays=True)
BAD_JSON = pushes(
    STAYS_400,
    empty=b"",
    null=b"null",
    list=b"[" * 10 + b"]" * 10,
    cut=b'{"user":"nobody"',
    two_bodies=PUSH + PUSH,
    nul_behind=PUSH + b"\x00",
    byte_order_mark=b"\xef\xbb\xbf" + PUSH,
    utf_16=PUSH.decode().encode("utf-16"),
    not_utf8=to_nobody(b'"\xff"'),
    lone_surrogate=to_nobody(b'"\\udfff"'),
    surrogate_in_user=b'{"user":"\\ud800"}',
    nan=to_nobody(b"NaN"),
    infinity=to_nobody(b"[-Infinity]"),
    number_2_53=to_nobody(b"9007199254740992"),
    number_1e400=to_nobody(b"[1e400]"),
    number_of_100_000_digits=to_nobody(b"9" * 100_000),
    exponent_of_100_000_digits=to_nobody(b"1e" + b"9" * 100_000),
    lists_513_deep=to_nobody(b"[" * 513 + b"]" * 513),
    lists_970_deep=to_nobody(b"[" * 970 + b"]" * 970),
    lists_100_000_deep=to_nobody(b"[" * 100_000 + b"]" * 100_000),
    maps_a_million_bytes_deep=to_nobody(b'{"a":' * 200_000),
    deep_where_a_name_belongs=b'{"user":' + b"[" * 100_000,
    user_number=said(user=1),
    user_empty=said(user=""),
    user_of_256=said(user="u" * 256),
    user_with_line_end=said(user="a\r\nb"),
    user_with_nul=said(user="a\x00"),
    user_and_everyone=said(everyone=True),
    users_1001=json.dumps({"users": ["u"] * 1001}).encode(),
    users_none=b'{"users":[]}',
    users_deep=b'{"users":[[[["a"]]]]}',
    everyone_false=b'{"everyone":false}',
    nobody_at_all=b'{"data":1}',
    event_of_129=said(event="e" * 129),
    event_with_escape=said(event="\x1b[2J"),
    id_with_line_end=said(id="a\nb"),
    id_of_high_letters=said(id="é"),
    device_of_parents=said(device="../../x"),
    session_of_letters=said(except_session="z" * 16),
    tags_101=said(tags=["t"] * 101),
    qos_unknown=said(qos="exactly-once"),
    qos_that_looks_like_a_path=said(qos="x - at `$[3]`"),
    ttl_minus=said(ttl=-1),
    ttl_1e400=b'{"user":"a","ttl":1e400}',
    spread_minus=b'{"everyone":true,"spread":-1}',
    spread_nan=b'{"everyone":true,"spread":NaN}',
    spread_1e308=b'{"everyone":true,"spread":1e308}',
    data_twice_over=said(data=1, data_base64="AAAA"),
    base64_of_garbage=said(data_base64="*" * 10_000),
    base64_not_padded=said(data_base64="A"),
    unknown_fields_by_the_thousand=json.dumps({f"f{n}": n for n in range(20_000)}).encode(),
    prototype=b'{"user":"a","__proto__":{"everyone":true}}',
)
GOOD_JSON = pushes(
    STAYS_202,
    lists_512_deep=to_nobody(b"[" * 512 + b"]" * 512),
    body_of_a_mebibyte=to_nobody(b'"%b"' % (b"x" * ((1 << 20) - 27))),
    lists_by_the_hundred_thousand=to_nobody(b"[" + b"[]," * 300_000 + b"[]]"),
    keys_by_the_ten_thousand=to_nobody(json.dumps({f"k{n}": n for n in range(50_000)}).encode()),
    escapes=to_nobody(b'"%b"' % (b"\\u0000" * 150_000)),
    number_tiny=to_nobody(b"1e-400"),
    user_that_is_a_subject=said(user=">.*.pushgate.*"),
    user_of_255_letters=said(user="🎉" * 255),
    users_1000=json.dumps({"users": [f"user-{n}" for n in range(1000)]}).encode(),
    users_all_the_same=json.dumps({"users": ["u"] * 1000}).encode(),
    user_twice=b'{"user":"a","user":"nobody"}',
    users_1000_of_a_megabyte=json.dumps({"users": [f"{n}" for n in range(1000)], "data": "x" * 1_000_000}).encode(),
    event_of_html=said(event="</script><script>alert(1)//"),
)
BAD_MSGPACK = packed(
    STAYS_400,
    empty=b"",
    json=PUSH,
    reserved=b"\xc1",
    cut=b"\x82\xa4user\xa1a\xa4data",
    list_of_4_billion=b"\xdd\xff\xff\xff\xff",
    map_of_4_billion=b"\xdf\xff\xff\xff\xff",
    user_of_4_gib=b"\x81\xa4user\xdb\xff\xff\xff\xff",
    data_of_4_gib=b"\x82\xa4user\xa1a\xa4data\xc6\xff\xff\xff\xff",
    data_of_4_billion=b"\x82\xa4user\xa1a\xa4data\xdd\xff\xff\xff\xff",
    users_of_4_billion=b"\x81\xa5users\xdd\xff\xff\xff\xff",
    key_number=b"\x81\x01\x01",
    key_not_utf8=b"\x81\xa4\xff\xff\xff\xff\x01",
    nan=b"\x82\xa4user\xa1a\xa4data\xcb\x7f\xf8" + bytes(6),
    number_2_64=b"\x82\xa4user\xa1a\xa4data\xcf" + b"\xff" * 8,
    extension=b"\x82\xa4user\xa1a\xa4data\xc7\x01\x05\x00",
    timestamp=b"\x82\xa4user\xa1a\xa4data\xd6\xff" + bytes(4),
    bytes_within=msgpack.encode({"user": "a", "data": [b"x"]}),
    map_as_key=b"\x82\xa4user\xa1a\xa4data\x81\x80\xc0",
    lists_513_deep=b"\x82\xa4user\xa1a\xa4data" + b"\x91" * 512 + b"\x90",
    lists_100_000_deep=b"\x82\xa4user\xa1a\xa4data" + b"\x91" * 100_000 + b"\x90",
) + packed(STAYS_202, good=msgpack.encode({"user": "nobody", "data": b"\xff" * 1_000_000}))
KEYS = (
    cases(
        answers(401, stays=True),
        no_key=request(PUSH, JSON),
        wrong_key=request(PUSH, JSON, "Authorization: Bearer pg_wrong"),
        key_cut=request(PUSH, JSON, AUTHORIZED[:-1]),
        key_longer=request(PUSH, JSON, AUTHORIZED + "k"),
        key_in_other_letters=request(PUSH, JSON, f"Authorization: Bearer {API_KEY.upper()}"),
        no_scheme=request(PUSH, JSON, f"Authorization: {API_KEY}"),
        basic=request(PUSH, JSON, "Authorization: Basic cGc6cGc="),
        bearer_empty=request(PUSH, JSON, "Authorization: Bearer"),
        bearer_twice_over=request(PUSH, JSON, f"Authorization: Bearer Bearer {API_KEY}"),
        key_of_60_000=request(PUSH, JSON, f"Authorization: Bearer {'k' * 60_000}"),
        key_of_high_bytes=request(PUSH, JSON, "Authorization: Bearer \xff\xfe"),
        key_hash=request(PUSH, JSON, "Authorization: Bearer sha256:" + "0" * 64),
        client_token=request(PUSH, JSON, f"Authorization: Bearer {token()}"),
        key_in_query=request(PUSH, JSON, path=f"/v1/push?token={API_KEY}&api_key={API_KEY}"),
        tokens_without_key=request(PUSH, JSON, path="/v1/tokens"),
    )
    + cases(
        STAYS_400,
        key_twice=request(PUSH, JSON, AUTHORIZED, AUTHORIZED),
        key_and_another=request(PUSH, JSON, AUTHORIZED, "Authorization: Bearer x"),
        types_that_differ=request(PUSH, JSON, PACKED, AUTHORIZED),
        key_twice_for_litestar=request(PUSH, JSON, AUTHORIZED, AUTHORIZED, path="/v1/push?x"),
    )
    + cases(
        answers(415, stays=True),
        no_type=request(PUSH, AUTHORIZED),
        form=request(PUSH, AUTHORIZED, "Content-Type: application/x-www-form-urlencoded"),
        text=request(PUSH, AUTHORIZED, "Content-Type: text/plain"),
        json_like=request(PUSH, AUTHORIZED, "Content-Type: application/jsonp"),
        type_of_60_000=request(PUSH, AUTHORIZED, f"Content-Type: {'x' * 60_000}"),
        type_list=request(PUSH, AUTHORIZED, "Content-Type: application/json, text/html"),
    )
    + cases(
        answers(401),
        key_before_the_body_is_asked_for=lines(
            "POST /v1/push HTTP/1.1", "Host: h", JSON, "Content-Length: 1000000", "Expect: 100-continue"
        ),
    )
)
TOKENS = (
    tokens(
        STAYS_400,
        empty=b"",
        deep=b'{"user":' + b"[" * 60_000,
        user_missing=b"{}",
        user_control=b'{"user":"a\\u0000"}',
        user_of_256=json.dumps({"user": "u" * 256}).encode(),
        ttl_0=b'{"user":"a","ttl":0}',
        ttl_huge=b'{"user":"a","ttl":1e308}',
        ttl_of_60_000_digits=b'{"user":"a","ttl":%b}' % (b"9" * 60_000),
        tags_of_lists=b'{"user":"a","tags":[[]]}',
        claims_of_others=b'{"user":"a","tenant":"evil","exp":9999999999}',
        surrogate=b'{"user":"\\ud83c"}',
    )
    + tokens(answers(200, stays=True), good=b'{"user":"nobody"}')
    + pushes(answers(202, stays=True), reliable=said(qos="reliable"))
)
BATCHES = (
    batches(
        STAYS_400,
        empty=b"",
        of_nothing=many(),
        of_1001=many(*[{"user": "a"}] * 1001),
        of_no_list=b'{"pushes":{"user":"a"}}',
        that_is_a_list=b'[{"user":"a"}]',
        deep=b'{"pushes":' + b"[" * 100_000,
        unknown_field=b'{"pushes":[{"user":"a"}],"everyone":true}',
        packed_as_json=msgpack.encode({"pushes": [{"user": "a"}]}),
    )
    + batches(
        answers(200, stays=True),
        of_what_is_no_push=many(1, None, [], "x", {}, {"user": 1}, {"user": "a", "qos": "x - at `$[3]`"}),
        of_deep_ones=b'{"pushes":[%b]}' % b",".join([to_nobody(b"[" * 600 + b"]" * 600)] * 500),
        of_unknown_fields=many(*[{f"f{n}": n for n in range(40)}] * 1000),
        for_many_each=many(*[{"users": [f"{n}" for n in range(150)]}] * 200),
        of_numbers_too_long=b'{"pushes":[%b]}' % b",".join([to_nobody(b"9" * 900)] * 1000),
    )
    + batches(answers(413, stays=True), of_two_megabytes=b" " * 2_000_000 + many({"user": "a"}))
)
HEADERS = cases(
    STAYS_202,
    request_id_of_10_000=request(PUSH, AUTHORIZED, JSON, f"X-Request-Id: {'i' * 10_000}"),
    request_id_with_quotes=request(PUSH, AUTHORIZED, JSON, 'X-Request-Id: a", "b'),
    request_id_of_high_bytes=request(PUSH, AUTHORIZED, JSON, "X-Request-Id: \xff\xfe"),
    request_ids=request(PUSH, AUTHORIZED, JSON, "X-Request-Id: a", "X-Request-Id: b"),
    forwarded=request(PUSH, AUTHORIZED, JSON, "X-Forwarded-For: 1.2.3.4, evil", "Forwarded: for=_x;proto=https"),
    override=request(PUSH, AUTHORIZED, JSON, "X-HTTP-Method-Override: DELETE"),
)
CASES = named([*BAD_JSON, *GOOD_JSON, *BAD_MSGPACK, *KEYS, *TOKENS, *BATCHES, *HEADERS])
