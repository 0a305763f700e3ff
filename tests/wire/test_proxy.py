"""The PROXY protocol, as HAProxy's proxy-protocol.txt describes it."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushgate.errors import UpgradeRefused
from pushgate.wire.proxy import MAX_BINARY, MAX_LINE, ProxyHeader, read_proxy_header

SIGNATURE = bytes.fromhex("0d0a0d0a000d0a515549540a")
V4_IN_V6 = bytes(10) + b"\xff\xff"
REST = b"GET /ws HTTP/1.1\r\nHost: x\r\n\r\n"


def binary(command: int, family: int, payload: bytes) -> bytes:
    return SIGNATURE + bytes((0x20 | command, family)) + len(payload).to_bytes(2, "big") + payload


def packed(text: str) -> bytes:
    return ipaddress.IPv6Address(text).packed


V4 = bytes((192, 0, 2, 1)) + bytes((198, 51, 100, 7)) + b"\xdc\x04\x01\xbb"
V6 = packed("2001:db8::1") + packed("2001:db8::2") + b"\xdc\x04\x01\xbb"

GOOD: dict[str, tuple[bytes, bytes | None]] = {
    "v1 IPv4": (b"PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n", V4_IN_V6 + bytes((192, 0, 2, 1))),
    "v1 longest IPv4": (b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", V4_IN_V6 + b"\xff" * 4),
    "v1 port 0": (b"PROXY TCP4 192.0.2.1 198.51.100.7 0 0\r\n", V4_IN_V6 + bytes((192, 0, 2, 1))),
    "v1 IPv6": (b"PROXY TCP6 2001:DB8::1 ::1 1 2\r\n", packed("2001:db8::1")),
    "v1 longest IPv6": (b"PROXY TCP6 %b %b 65535 65535\r\n" % ((b"ffff:" * 8)[:-1], (b"ffff:" * 8)[:-1]), b"\xff" * 16),
    "v1 mapped IPv4": (b"PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n", V4_IN_V6 + bytes((192, 0, 2, 1))),
    "v1 unknown": (b"PROXY UNKNOWN\r\n", None),
    "v1 unknown with more": (b"PROXY UNKNOWN ffff::1 garbage \x00\xff \r 65535\r\n", None),
    "v2 IPv4": (binary(1, 0x11, V4), V4_IN_V6 + bytes((192, 0, 2, 1))),
    "v2 IPv6": (binary(1, 0x21, V6), packed("2001:db8::1")),
    "v2 with extras": (binary(1, 0x11, V4 + b"\x04\x00\x03abc\x20\x00\x05\x07\0\0\0\0"), V4_IN_V6 + V4[:4]),
    "v2 longest": (binary(1, 0x21, V6 + bytes(MAX_BINARY - 16 - 36)), packed("2001:db8::1")),
    "v2 health check": (binary(0, 0x00, b""), None),
    "v2 health check with addresses": (binary(0, 0x11, V4), None),
    "v2 health check with nonsense": (binary(0, 0xFF, b"\x01"), None),
    "v2 unspecified": (binary(1, 0x00, b"\x01\x02"), None),
    "v2 unspecified protocol": (binary(1, 0x10, V4), None),
    "v2 datagrams": (binary(1, 0x12, V4), None),
    "v2 unix": (binary(1, 0x31, bytes(216)), None),
}

BAD: dict[str, bytes] = {
    "no header": REST,
    "TLS": b"\x16\x03\x01\x02\x00\x01",
    "lower case": b"proxy TCP4 192.0.2.1 198.51.100.7 1 2\r\n",
    "v1 bare line feed": b"PROXY TCP4 192.0.2.1 198.51.100.7 1 2\n",
    "v1 two spaces": b"PROXY  TCP4 192.0.2.1 198.51.100.7 1 2\r\n",
    "v1 space at the end": b"PROXY TCP4 192.0.2.1 198.51.100.7 1 2 \r\n",
    "v1 leading zero": b"PROXY TCP4 192.0.02.1 198.51.100.7 1 2\r\n",
    "v1 leading zero in a port": b"PROXY TCP4 192.0.2.1 198.51.100.7 01 2\r\n",
    "v1 too high": b"PROXY TCP4 192.0.2.256 198.51.100.7 1 2\r\n",
    "v1 bad destination": b"PROXY TCP4 192.0.2.1 198.51.100 1 2\r\n",
    "v1 port too high": b"PROXY TCP4 192.0.2.1 198.51.100.7 65536 2\r\n",
    "v1 port too high behind": b"PROXY TCP4 192.0.2.1 198.51.100.7 2 99999\r\n",
    "v1 sign": b"PROXY TCP4 192.0.2.1 198.51.100.7 +1 2\r\n",
    "v1 no ports": b"PROXY TCP4 192.0.2.1 198.51.100.7\r\n",
    "v1 wrong family": b"PROXY TCP4 ::1 ::1 1 2\r\n",
    "v1 wrong family the other way": b"PROXY TCP6 192.0.2.1 198.51.100.7 1 2\r\n",
    "v1 bad IPv6": b"PROXY TCP6 1::2::3 ::1 1 2\r\n",
    "v1 scope": b"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
    "v1 other protocol": b"PROXY UDP4 192.0.2.1 198.51.100.7 1 2\r\n",
    "v1 nearly unknown": b"PROXY UNKNOWNS\r\n",
    "v1 nothing": b"PROXY \r\n",
    "v1 without end": b"PROXY UNKNOWN " + b"x" * MAX_LINE,
    "v1 end too late": b"PROXY UNKNOWN " + b"x" * (MAX_LINE - 15) + b"\r\n",
    "v2 version 1": SIGNATURE + b"\x11\x11\x00\x0c" + V4,
    "v2 version 3": SIGNATURE + b"\x31\x11\x00\x0c" + V4,
    "v2 unknown command": binary(2, 0x11, V4),
    "v2 unknown family": binary(1, 0x41, V4),
    "v2 unknown protocol": binary(1, 0x13, V4),
    "v2 short IPv4": binary(1, 0x11, V4[:-1]),
    "v2 short IPv6": binary(1, 0x21, V6[:-1]),
    "v2 short unix": binary(1, 0x31, bytes(215)),
    "v2 too long": binary(1, 0x11, bytes(MAX_BINARY - 15)),
    "v2 broken signature": b"\r\n\r\n\x00\r\nQUIT\r\x21\x11\x00\x0c" + V4,
}


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("behind", [b"", REST, b"\r\n"])
def test_good_headers(name: str, behind: bytes) -> None:
    header, source = GOOD[name]
    assert read_proxy_header(header + behind) == ProxyHeader(len(header), source)


@pytest.mark.parametrize("name", GOOD)
def test_a_header_in_pieces_is_waited_for(name: str) -> None:
    header, _ = GOOD[name]
    for size in range(len(header)):
        assert read_proxy_header(header[:size]) is None


@pytest.mark.parametrize("name", BAD)
def test_bad_headers(name: str) -> None:
    with pytest.raises(UpgradeRefused, match="PROXY protocol header: ") as refused:
        read_proxy_header(BAD[name])
    assert (refused.value.status, refused.value.cause) == (400, "proxy")


def test_what_is_none_is_refused_at_its_first_byte_that_tells() -> None:
    for data in (b"G", b"PR\r", b"PROXY\r", b"\r\n\r\n\x01", b"\r\nG"):
        assert read_proxy_header(data[:-1]) is None
        with pytest.raises(UpgradeRefused):
            read_proxy_header(data)


def test_a_length_is_refused_before_its_bytes_come() -> None:
    for head in (binary(1, 0x11, bytes(MAX_BINARY))[:16], binary(1, 0x11, V4[:11])[:16], binary(5, 0x11, V4)[:16]):
        assert read_proxy_header(head[:15]) is None
        with pytest.raises(UpgradeRefused):
            read_proxy_header(head)


starts = st.sampled_from([b"", b"PROXY ", b"PROXY TCP4 ", b"PROXY UNKNOWN", SIGNATURE, SIGNATURE + b"\x21\x11"])


@given(starts, st.binary(max_size=300))
def test_garbage_is_read_as_a_header_refused_or_waited_for_to_a_bound(start: bytes, garbage: bytes) -> None:
    data = start + garbage
    try:
        header = read_proxy_header(data)
    except UpgradeRefused:
        return
    if header is None:
        assert len(data) < MAX_BINARY
        assert data.startswith(SIGNATURE[: len(data)]) or (len(data) < MAX_LINE and b"\n" not in data)
    else:
        assert 15 <= header.size <= len(data)
        assert read_proxy_header(data[: header.size]) == header


@given(st.ip_addresses(), st.integers(0, 65535), st.integers(0, 65535), st.binary(max_size=50))
def test_both_versions_say_the_same(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int, other: int, behind: bytes
) -> None:
    source = (V4_IN_V6 if address.version == 4 else b"") + address.packed
    line = f"PROXY TCP{address.version} {address} {address} {port} {other}\r\n".encode()
    assert read_proxy_header(line + behind) == ProxyHeader(len(line), source)
    ends = address.packed * 2 + port.to_bytes(2, "big") + other.to_bytes(2, "big")
    header = binary(1, 0x11 if address.version == 4 else 0x21, ends)
    assert read_proxy_header(header + behind) == ProxyHeader(len(header), source)
