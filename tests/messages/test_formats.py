import pytest

from pushgate.codes import Close
from pushgate.errors import MessageError
from pushgate.messages import json_codec, msgpack_codec
from pushgate.messages.client import Ping, Pong
from pushgate.messages.formats import CODECS, FORMATS, NO_WINDOW, format_of
from pushgate.wire.deflate import SMALL_WINDOW, WINDOW
from pushgate.wire.frames import BINARY, TEXT


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
    assert seen == set(range(len(FORMATS)))
    assert format_of(None, NO_WINDOW) == format_of("pushgate.v1.json", NO_WINDOW) == 0


def test_frames_carry_the_opcode_of_their_subprotocol() -> None:
    for chosen in FORMATS:
        frame = chosen.frame(Pong())
        assert frame[0] == 0x80 | chosen.codec.OPCODE
        assert frame[2:] == chosen.codec.encode(Pong())


@pytest.mark.parametrize(("codec", "opcode"), [(json_codec, TEXT), (msgpack_codec, BINARY)])
def test_messages_of_the_other_opcode_are_fatal(codec: object, opcode: int) -> None:
    (chosen,) = (each for each in FORMATS if each.codec is codec and not each.deflate)
    said = {TEXT: b'{"type":"ping"}', BINARY: b"\x81\xa4type\xa4ping"}
    assert chosen.decode(opcode, said[opcode]) == Ping()
    other = TEXT + BINARY - opcode
    for payload in said.values():
        with pytest.raises(MessageError) as caught:
            chosen.decode(other, payload)
        assert caught.value.close is Close.BAD_MESSAGE
