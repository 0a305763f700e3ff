"""Eight versions of a picture, made with Pillow."""

from collections.abc import Callable
from io import BytesIO

from PIL import Image, ImageEnhance, ImageFilter, ImageOps

LARGEST = 20_000_000
"""Pixels of a picture that is taken."""

_SIZE = (1200, 900)


def _sepia(picture: Image.Image) -> Image.Image:
    return ImageOps.colorize(ImageOps.grayscale(picture), "#2b1700", "#fff3d6", mid="#a8804f")


def _duotone(picture: Image.Image) -> Image.Image:
    return ImageOps.colorize(ImageOps.autocontrast(ImageOps.grayscale(picture)), "#1b0a5e", "#ffd27a", mid="#e0457b")


def _pixels(picture: Image.Image) -> Image.Image:
    small = picture.resize((max(1, picture.width // 24), max(1, picture.height // 24)), Image.Resampling.BOX)
    return small.resize(picture.size, Image.Resampling.NEAREST)


def _vivid(picture: Image.Image) -> Image.Image:
    return ImageEnhance.Contrast(ImageEnhance.Color(picture).enhance(1.8)).enhance(1.2)


FILTERS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "mono": lambda picture: ImageOps.autocontrast(ImageOps.grayscale(picture)),
    "sepia": _sepia,
    "duotone": _duotone,
    "vivid": _vivid,
    "dream": lambda picture: Image.blend(picture, picture.filter(ImageFilter.GaussianBlur(14)), 0.65),
    "poster": lambda picture: ImageOps.posterize(picture.filter(ImageFilter.MedianFilter(5)), 3),
    "pixels": _pixels,
    "ink": lambda picture: ImageOps.grayscale(picture.filter(ImageFilter.CONTOUR)),
}


def open_picture(data: bytes) -> Image.Image:
    """Return a picture, turned as the camera was held and made small enough. Raises ValueError for what is none."""
    try:
        with Image.open(BytesIO(data), formats=("JPEG", "PNG", "WEBP")) as opened:
            if opened.width * opened.height > LARGEST:
                raise ValueError(f"a picture of {LARGEST:,} pixels at most, please")
            picture = ImageOps.exif_transpose(opened).convert("RGB")
    except (OSError, SyntaxError, Image.DecompressionBombError):
        raise ValueError("a JPEG, PNG or WebP picture, please") from None
    picture.thumbnail(_SIZE)
    return picture


def write_version(picture: Image.Image, name: str) -> bytes:
    """Return a version as a JPEG."""
    target = BytesIO()
    FILTERS[name](picture).convert("RGB").save(target, "JPEG", quality=86)
    return target.getvalue()
