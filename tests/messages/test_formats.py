import pytest
from msgspec import structs

from pushgate.codes import Close
from pushgate.errors import MessageError
from pushgate.messages import json_codec, msgpack_codec
from pushgate.messages.client import Limits, Ping, Pong, Reconnect, Welcome
from pushgate.messages.formats import CODECS, EVENTS, FORMATS, NO_WINDOW, format_of
from pushgate.messages.push import Push
from pushgate.wire.deflate import SMALL_WINDOW, WINDOW
from pushgate.wire.frames import BINARY, TEXT, encode_close


def test_every_subprotocol_with_every_compression_is_a_format() -> None:
    assert [codec.PROTOCOL for codec in CODECS] == ["pushgate.v1.json", "pushgate.v1.msgpack"]
    seen = set()
    for codec in CODECS:
        for window in (NO_WINDOW, WINDOW, SMALL_WINDOW):
            number = format_of(codec.PROTOCOL, window)
            chosen = FORMATS[number]
            assert (chosen.codec, chosen.window, chosen.deflate) == (codec, window, window > 0)
            assert FORMATS[chosen.plain] == FORMATS[format_of(codec.PROTOCOL, NO_WINDOW)]
            seen.add(number)
    assert seen == set(range(len(FORMATS))) - {EVENTS}
    assert FORMATS[EVENTS] == (json_codec, EVENTS, NO_WINDOW, True)
    assert format_of(None, NO_WINDOW) == format_of("pushgate.v1.json", NO_WINDOW) == 0


def test_frames_carry_the_opcode_of_their_subprotocol() -> None:
    for chosen in FORMATS[:EVENTS]:
        frame = chosen.frame(Pong())
        assert frame[0] == 0x80 | chosen.codec.OPCODE
        assert frame[2:] == chosen.codec.encode(Pong())


@pytest.mark.parametrize(("codec", "opcode"), [(json_codec, TEXT), (msgpack_codec, BINARY)])
def test_messages_of_the_other_opcode_are_fatal(codec: object, opcode: int) -> None:
    (chosen,) = (each for each in FORMATS[:EVENTS] if each.codec is codec and not each.deflate)
    said = {TEXT: b'{"type":"ping"}', BINARY: b"\x81\xa4type\xa4ping"}
    assert chosen.decode(opcode, said[opcode]) == Ping()
    other = TEXT + BINARY - opcode
    for payload in said.values():
        with pytest.raises(MessageError) as caught:
            chosen.decode(other, payload)
        assert caught.value.close is Close.BAD_MESSAGE


def test_events_carry_the_place_and_the_pause_that_a_browser_is_to_remember() -> None:
    events = FORMATS[EVENTS]
    welcome = Welcome(session="s", user="u", tenant="t", ping=25.0, limits=Limits(1))
    assert events.frame(welcome).startswith(b'data: {"type":"welcome",')
    assert events.frame(structs.replace(welcome, cursor=0)).startswith(b'id: 0\ndata: {"type":"welcome",')
    assert events.frame(Reconnect(2.5)) == b'retry: 3500\ndata: {"type":"reconnect","after":2.5}\n\n'
    live, reliable = (events.frame_push(Push("t", ["u"], "m", "e", 1, b"1"), offset) for offset in (0, 47))
    said = b'data: {"type":"message","id":"m","event":"e","data":1,"time":1%b}\n\n'
    assert live == said % b""
    assert reliable == b"id: 47\n" + said % b',"offset":47'
    assert events.close(Close.GOING_AWAY, "later") == b'event: close\ndata: {"code": 4000, "reason": "later"}\n\n'
    assert FORMATS[0].close(Close.GOING_AWAY, "later") == encode_close(4000, "later")
