from hypothesis import given
from hypothesis import strategies as st

from pushgate.wire.masking import rotate, unmask
from tests.wire.client import masked

masks = st.binary(min_size=4, max_size=4)
payloads = st.binary(max_size=40) | st.builds(lambda part, count: part * count, st.binary(max_size=40), st.just(101))


@given(payloads, masks)
def test_unmask_is_the_rfcs_loop(payload: bytes, mask: bytes) -> None:
    for data in (payload, bytearray(payload), memoryview(payload)):
        assert unmask(data, mask) == masked(payload, mask)


@given(payloads, masks, st.integers(0, 4040))
def test_a_rotated_mask_goes_on(payload: bytes, mask: bytes, cut: int) -> None:
    cut = min(cut, len(payload))
    assert unmask(payload[:cut], mask) + unmask(payload[cut:], rotate(mask, cut)) == masked(payload, mask)


def test_both_sides_of_the_switch_between_ways() -> None:
    for size in (0, 1, 3, 4, 1023, 1024, 1025, 1026, 1027, 1028, 70_000):
        payload = bytes(index * 7 & 255 for index in range(size))
        assert unmask(payload, b"\x01\x02\x03\xff") == masked(payload, b"\x01\x02\x03\xff")
