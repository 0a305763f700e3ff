"""Whether a face moves as only a living one does: in itself, and not as a whole, like a photograph that is held up."""

import base64
import binascii
from io import BytesIO
from itertools import pairwise, product

from PIL import Image, ImageChops, ImageFilter, ImageStat

FRAMES = 6
THRESHOLD = 1.3
"""Mean difference, of 255, that is left between two frames when the one was laid over the other as well as it goes."""

_SIZE = 160
_REACH = range(-7, 8)  # how far a hand moves a photograph from frame to frame
_BLUR = ImageFilter.GaussianBlur(3)  # else an edge that moved by half a pixel would look like life


def read_frame(text: str) -> Image.Image:
    """Return a frame of a data URL. Raises ValueError for what is none."""
    try:
        with Image.open(BytesIO(base64.b64decode(text.partition(",")[2])), formats=("JPEG", "PNG")) as frame:
            if frame.width * frame.height > 1_000_000:
                raise ValueError("a frame has a million pixels at most")
            return frame.convert("L").resize((_SIZE, _SIZE)).filter(_BLUR)
    except (OSError, SyntaxError, binascii.Error, Image.DecompressionBombError):
        raise ValueError("a frame is a JPEG or a PNG, as a data URL") from None


def measure_motion(frames: list[Image.Image]) -> float:
    """Return the mean difference of two frames in a row that no shift explains."""
    shifts = list(product(_REACH, _REACH))
    left = [min(_difference(before, after, x, y) for x, y in shifts) for before, after in pairwise(frames)]
    return sum(left) / len(left)


def _difference(before: Image.Image, after: Image.Image, x: int, y: int) -> float:
    margin = max(_REACH)
    box = (margin, margin, _SIZE - margin, _SIZE - margin)
    shifted = after.crop((box[0] + x, box[1] + y, box[2] + x, box[3] + y))
    return ImageStat.Stat(ImageChops.difference(before.crop(box), shifted)).mean[0]
