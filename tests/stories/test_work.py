"""What the stories do beside pushing."""

import base64
from io import BytesIO

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from PIL import Image, ImageDraw

from examples.stories.contract.seal import check_seal, digest, seal
from examples.stories.filters.filters import FILTERS, open_picture, write_version
from examples.stories.liveness.motion import THRESHOLD, measure_motion, read_frame
from examples.stories.realname.identity import check_number, mask_number


@pytest.mark.parametrize(
    ("number", "complaint"),
    [
        ("110105194912310021", "last character"),
        ("110105194902300020", "no such day"),
        ("11010519491231002", "17 digits"),
        ("x10105194912310021", "17 digits"),
    ],
)
def test_a_number_that_is_none_is_refused(number: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        check_number(number)


def test_a_number_is_taken_and_masked() -> None:
    check_number("11010519491231002X")
    assert mask_number("11010519491231002X") == "110105········002X"


def test_each_version_is_a_picture_of_its_own() -> None:
    source = BytesIO()
    Image.linear_gradient("L").convert("RGB").save(source, "PNG")
    picture = open_picture(source.getvalue())
    versions = {write_version(picture, name) for name in FILTERS}
    assert len(versions) == 8
    for version in versions:
        assert Image.open(BytesIO(version)).size == picture.size


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"\x89PNG\r\n\x1a\nnothing"])
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="please"):
        open_picture(data)


def frame(x: int, mouth: int) -> Image.Image:
    picture = Image.new("RGB", (240, 240), "white")
    draw = ImageDraw.Draw(picture)
    draw.ellipse((60 + x, 50, 180 + x, 200), "tan")
    draw.ellipse((90 + x, 150 - mouth, 150 + x, 150 + mouth), "maroon")
    target = BytesIO()
    picture.save(target, "PNG")
    return read_frame("data:image/png;base64," + base64.b64encode(target.getvalue()).decode())


def test_a_photograph_that_is_moved_is_not_alive() -> None:
    assert measure_motion([frame(x, 10) for x in (0, 6, 1, 8)]) < THRESHOLD
    assert measure_motion([frame(x, mouth) for x, mouth in ((0, 4), (6, 28), (1, 4), (8, 28))]) > THRESHOLD


def test_a_seal_holds_for_what_was_signed_alone() -> None:
    key = Ed25519PrivateKey.generate()
    statement = {"contract": digest("the text"), "party": "Ada", "time": "now"}
    signature = seal(key, statement)
    check_seal(key.public_key(), statement, signature)
    with pytest.raises(InvalidSignature):
        check_seal(key.public_key(), {**statement, "contract": digest("another text")}, signature)
