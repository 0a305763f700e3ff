"""What stands in frames that are lawful: JSON, MessagePack and compressed data that lie, are deep, huge or bombs."""

import gzip
import json
import zlib

from msgspec import msgpack

from tests.hostile.case import Case, Lives, Outcome, closes
from tests.hostile.frames import APP_PING, CONT, DEFLATE, on_session
from tests.hostile.keys import EVIL_SECRET, token
from tests.rig.client import BINARY, TEXT, deflate, mask_frame
from tests.tenants.forge import forge, hmac_with

PACKED = "Sec-WebSocket-Protocol: pushgate.v1.msgpack"
MAP = b"\x81\xa4type\xa4ping"


def texts(outcome: Outcome, **sent: bytes) -> list[Case]:
    """A text message each, on a JSON session."""
    return on_session(outcome, **{name: mask_frame(TEXT, data) for name, data in sent.items()})


def binaries(outcome: Outcome, **sent: bytes) -> list[Case]:
    """A binary message each, on a MessagePack session."""
    return on_session(outcome, PACKED, **{f"packed {name}": mask_frame(BINARY, data) for name, data in sent.items()})


def compressed(outcome: Outcome, **sent: bytes) -> list[Case]:
    """A compressed text message of these bytes each, on a JSON session."""
    sent = {f"compressed {name}": mask_frame(TEXT, data, rsv1=True) for name, data in sent.items()}
    return on_session(outcome, DEFLATE, **sent)


def said(**fields: object) -> bytes:
    return json.dumps(fields).encode()


def field(name: bytes, value: bytes, kind: bytes = b"ack") -> bytes:
    """A message with one field of any text."""
    return b'{"type":"%b","%b":%b}' % (kind, name, value)


def stored(data: bytes, size: int | None = None, final: bool = False) -> bytes:
    """A stored block (RFC 1951 section 3.2.4) that says it has `size` bytes."""
    size = len(data) if size is None else size
    return bytes((final,)) + size.to_bytes(2, "little") + (size ^ 0xFFFF).to_bytes(2, "little") + data


def with_dictionary(data: bytes) -> bytes:
    """Bytes deflated as if they had been said before, which they were not: every message stands for itself."""
    packer = zlib.compressobj(wbits=-15, zdict=data)
    return (packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]


def over_and_over(times: int) -> bytes:
    """What was deflated so often: each pass of a bomb of zeros is itself a bomb."""
    data = bytes(1 << 20)
    for _ in range(times):
        data = deflate(data)
    return data


JSON = (
    texts(
        closes(4505),
        empty=b"",
        blank=b" ",
        list=b"[1,2,3]",
        number=b"1e999999",
        null=b"null",
        string=b'"ping"',
        cut=b'{"type":"ping"',
        cut_string=b'{"type":"pi',
        two_messages=APP_PING * 2,
        comment=b'{"type":"ping"/**/}',
        comma_behind=b'{"type":"ping",}',
        single_quotes=b"{'type':'ping'}",
        no_quotes=b"{type:1}",
        nan=field(b"x", b"NaN", b"ping"),
        infinity=field(b"x", b"-Infinity", b"ping"),
        leading_zero=field(b"x", b"0123", b"ping"),
        hexadecimal=field(b"x", b"0x1F", b"ping"),
        byte_order_mark=b"\xef\xbb\xbf" + APP_PING,
        nul_behind=APP_PING + b"\x00",
        raw_line_end=b'{"type":"pi\nng"}',
        lone_surrogate=b'{"type":"\\ud800"}',
        lone_surrogate_as_key=b'{"\\udc00":1,"type":"ping"}',
        cut_escape=b'{"type":"\\u12"}',
        lists_60_000_deep_in_a_map=b'{"x":' + b"[" * 60_000,
        maps_12_000_deep=b'{"x":' * 12_000,
        lists_65_000_deep=b"[" * 65_000,
        bytes_that_spell_html=b"<html>" * 9_000,
    )
    + on_session(closes(4505), binary=mask_frame(BINARY, APP_PING), binary_empty=mask_frame(BINARY))
    + texts(
        Lives(("unknown_type",)),
        type_unknown=said(type="subscribe"),
        type_empty=said(type=""),
        type_of_60_000=said(type="p" * 60_000),
        type_of_the_server=said(type="welcome"),
        type_with_nul=said(type="ping\x00"),
        type_with_our_own_words=said(type="x` - at `$.token`"),
        type_twice=b'{"type":"ping","type":"pong"}',
        type_twice_the_other_way=b'{"type":"pong","type":"ping"}',
    )
    + texts(
        Lives(("bad_field",)),
        no_type=b"{}",
        type_number=said(type=1),
        type_null=said(type=None),
        type_list=said(type=["ping"]),
        type_deep=b'{"type":' + b"[" * 400 + b"]" * 400 + b"}",
        prototype=b'{"__proto__":{"type":"ping"}}',
        ack_nothing=said(type="ack"),
        ack_text=said(type="ack", offset="1"),
        ack_fraction=said(type="ack", offset=1.5),
        ack_true=said(type="ack", offset=True),
        ack_1e400=field(b"offset", b"1e400"),
        ack_minus_1e400=field(b"offset", b"-1e400"),
        ack_of_60_000_digits=field(b"offset", b"9" * 60_000),
        refresh_number=said(type="refresh", token=1),
        refresh_nothing=said(type="refresh"),
    )
    + texts(
        Lives(("no_inbox",)),
        ack=said(type="ack", offset=1),
        ack_minus=said(type="ack", offset=-1),
        ack_2_63=field(b"offset", b"9223372036854775808"),
        ack_of_4_000_digits=field(b"offset", b"9" * 4_000),
        ack_minus_0=field(b"offset", b"-0"),
        ack_twice=b'{"type":"ack","offset":2,"offset":1}',
    )
    + texts(
        Lives(("token_refused",)),
        refresh_empty=said(type="refresh", token=""),
        refresh_garbage=said(type="refresh", token="a.b.c"),
        refresh_huge=said(type="refresh", token="a" * 60_000),
        refresh_high_letters=said(type="refresh", token="é" * 10_000),
        refresh_for_somebody_else=said(type="refresh", token=token()),
        refresh_of_another_tenant=said(
            type="refresh", token=forge({"tenant": "evil", "sub": "x"}, hmac_with(EVIL_SECRET))
        ),
    )
    + texts(Lives(("connected",)), connect_again=said(type="connect", token=token()))
    + texts(
        Lives(pongs=1),
        keys_by_the_thousand=b'{"type":"ping"' + b"".join(b',"k%d":%d' % (n, n) for n in range(4_000)) + b"}",
        key_of_60_000=b'{"%b":1,"type":"ping"}' % (b"k" * 60_000),
        numbers_of_60_000_digits=field(b"x", b"9" * 60_000, b"ping"),
        exponents=field(b"x", b"[1e999999999,-1e-999999999,0.%b]" % (b"0" * 50_000), b"ping"),
        lists_400_deep=field(b"x", b"[" * 400 + b"]" * 400, b"ping"),
        escapes=field(b"x", b'"%b"' % (b"\\u0000\\ud83c\\udf89" * 3_000), b"ping"),
        key_twice=b'{"type":"ping","x":1,"x":2}',
    )
)
MSGPACK = (
    binaries(
        closes(4505),
        empty=b"",
        nil=b"\xc0",
        reserved=b"\xc1",
        list=b"\x91\x01",
        text=APP_PING,
        cut=MAP[:-1],
        two_messages=MAP * 2,
        list_of_4_billion=b"\xdd\xff\xff\xff\xff",
        map_of_4_billion=b"\xdf\xff\xff\xff\xff",
        string_of_4_gib=b"\x81\xa4type\xdb\xff\xff\xff\xff",
        bytes_of_4_gib=b"\x82\xa4type\xa4ping\xa1x\xc6\xff\xff\xff\xff",
        extension_of_4_gib=b"\x82\xa4type\xa4ping\xa1x\xc9\xff\xff\xff\xff\x01",
        list_of_4_billion_within=b"\x82\xa4type\xa4ping\xa1x\xdd\xff\xff\xff\xff",
        reserved_within=b"\x82\xa4type\xa4ping\xa1x\xc1",
        lists_60_000_deep=b"\x82\xa4type\xa4ping\xa1x" + b"\x91" * 60_000,
        maps_20_000_deep=b"\x82\xa4type\xa4ping\xa1x" + b"\x81\xa1a" * 20_000,
    )
    + on_session(closes(4505), PACKED, text_frame=mask_frame(TEXT, APP_PING))
    + binaries(
        Lives(("bad_field",)),
        no_type=b"\x80",
        type_number=b"\x81\xa4type\x01",
        type_bytes=b"\x81\xa4type\xc4\x04ping",
        type_not_utf8=b"\x81\xa4type\xa4\xff\xff\xff\xff",
        key_number=b"\x82\x01\x01\xa4type\xa4ping",
        key_list=b"\x82\x91\x01\x01\xa4type\xa4ping",
        ack_nan=b"\x82\xa4type\xa3ack\xa6offset\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00",
        ack_infinity=b"\x82\xa4type\xa3ack\xa6offset\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00",
        ack_timestamp=b"\x82\xa4type\xa3ack\xa6offset\xd6\xff\x00\x00\x00\x00",
    )
    + binaries(Lives(("no_inbox",)), ack_2_64=b"\x82\xa4type\xa3ack\xa6offset\xcf" + b"\xff" * 8)
    + binaries(Lives(("unknown_type",)), type_unknown=msgpack.encode({"type": "x" * 60_000}))
    + binaries(
        Lives(pongs=1),
        key_not_utf8=b"\x82\xa1\xff\x01\xa4type\xa4ping",
        extension=b"\x82\xa4type\xa4ping\xa1x\xc7\x04\x7f1234",
        timestamp_of_the_year_500_billion=b"\x82\xa4type\xa4ping\xa1x\xc7\x0c\xff\x00\x00\x00\x00"
        + b"\x7f"
        + b"\xff" * 7,
        keys_by_the_thousand=msgpack.encode({"type": "ping", **{f"k{n}": n for n in range(4_000)}}),
        longer_form=b"\xdf\x00\x00\x00\x01\xdb\x00\x00\x00\x04type\xda\x00\x04ping",
    )
)
BOMBS = (
    compressed(
        closes(1009),
        bomb_of_30_mib=deflate(bytes(30 << 20)),
        bomb_of_letters=deflate(b"[" * (30 << 20)),
        one_byte_over=deflate(b" " * 65537),
        many_stored_blocks=stored(b"") * 3_000 + stored(b" " * 65_000) + b"\x00",
        bomb_behind_a_good_message=deflate(APP_PING + b" " * (1 << 20)),
    )
    + on_session(
        closes(1009),
        DEFLATE,
        bomb_in_fragments=mask_frame(TEXT, deflate(bytes(30 << 20))[:100], fin=False, rsv1=True)
        + mask_frame(CONT, deflate(bytes(30 << 20))[100:]),
        packed_larger_than_anything_lawful=mask_frame(TEXT, b"\x00" * 74_000, rsv1=True),
    )
    + compressed(
        closes(1007),
        no_deflate=b"\xff\xff\xff",
        reserved_block=b"\x07",
        stored_that_lies=stored(APP_PING, 60_000),
        stored_without_complement=b"\x00\x05\x00\x00\x00hello",
        cut=deflate(b" " * 5_000 + APP_PING)[:-9],
        distance_before_the_start=with_dictionary(APP_PING * 9),
        final_blocks_by_the_hundred=stored(b"", final=True) * 200,
        zlib_header=zlib.compress(APP_PING),
        gzip=gzip.compress(APP_PING),
        not_utf8=deflate(b"\xff\xfe"),
        cut_character=deflate("é".encode()[:1]),
        a_bomb_in_a_bomb=over_and_over(2),
    )
    + compressed(closes(4505), empty=b"", nothing_but_a_flush=b"\x00")
    + compressed(
        Lives(pongs=1),
        good=deflate(APP_PING),
        just_64_kib=deflate(APP_PING + b" " * (65536 - len(APP_PING))),
        final_block=stored(APP_PING, final=True) + b"\x00",
        empty_blocks=stored(b"") * 1_000 + stored(APP_PING) + b"\x00",
    )
)
CASES = [*JSON, *MSGPACK, *BOMBS]
