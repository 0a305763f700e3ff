"""Frames of a face are handed in; what the examiner found is pushed later, whether the page is there or not."""

import asyncio
import secrets
from dataclasses import dataclass

from litestar import post
from litestar.exceptions import ValidationException
from litestar.types import ControllerRouterHandler
from PIL import Image

from examples.stories.business import Business
from examples.stories.liveness.motion import FRAMES, THRESHOLD, measure_motion, read_frame

_QUEUE = 30.0  # seconds that an examiner who is busy lets one wait; times the pace
_DAY = 86400


@dataclass
class Recording:
    """Frames of a face, as data URLs."""

    frames: list[str]


def liveness_routes(business: Business) -> list[ControllerRouterHandler]:
    """Return the calls of this story."""

    async def examine(user: str, check: str, frames: list[Image.Image]) -> None:
        await asyncio.sleep(_QUEUE * business.pace)
        motion = await asyncio.to_thread(measure_motion, frames)
        data = {"check": check, "alive": motion >= THRESHOLD, "motion": round(motion, 2)}
        await business.push(user, "liveness", data, id=f"liveness-{check}", ttl=_DAY)

    @post("/api/liveness")
    async def hand_in(data: Recording, visitor: str) -> dict[str, str | float]:
        """Take a recording; the result comes later, as a push."""
        if len(data.frames) != FRAMES:
            raise ValidationException(f"{FRAMES} frames, please")
        try:
            frames = [read_frame(frame) for frame in data.frames]
        except ValueError as error:
            raise ValidationException(str(error)) from None
        check = secrets.token_hex(8)
        business.begin(examine(visitor, check, frames))
        return {"check": check, "seconds": _QUEUE * business.pace}

    return [hand_in]
