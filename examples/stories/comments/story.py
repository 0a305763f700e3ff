"""Comments go live to everyone who watches: worth nothing a moment later, so nothing is kept or repeated."""

import asyncio
from dataclasses import dataclass
from itertools import count

from litestar import post
from litestar.exceptions import ValidationException
from litestar.types import ControllerRouterHandler

from examples.stories.business import Business
from examples.stories.comments.audience import talk

_ROUND = 1.0  # seconds; times the pace
_MOST_A_CALL = 500  # pushes in a batch: half of what the gateway takes


@dataclass
class Comment:
    """What a visitor says."""

    text: str


def comments_routes(business: Business) -> list[ControllerRouterHandler]:
    """Return the calls of this story."""
    numbers = count(1)
    seeds = count(1)
    order = asyncio.Lock()  # pushes under way at the same time would have no order
    talking: set[int] = set()

    async def say(comments: list[tuple[str, str]]) -> None:
        """Push comments, numbered: a page that finds a number missing knows what it did not get."""
        async with order:
            for begin in range(0, len(comments), _MOST_A_CALL):
                part = comments[begin : begin + _MOST_A_CALL]
                data = [{"number": next(numbers), "name": name, "text": text} for name, text in part]
                await business.push_live("comment", data)

    async def entertain(seed: int) -> None:
        try:
            for comments in talk(seed):
                await say(comments)
                await asyncio.sleep(_ROUND * business.pace)
        finally:
            talking.discard(seed)

    @post("/api/comments")
    async def comment(data: Comment, visitor: str) -> dict[str, str]:
        """Say something to everyone."""
        text = data.text.strip()
        if not 1 <= len(text) <= 200:
            raise ValidationException("a comment has 1 to 200 characters")
        await say([(f"Guest {visitor[2:6]}", text)])
        return {}

    @post("/api/comments/audience")
    async def audience(visitor: str) -> dict[str, bool]:
        """Let the audience talk for a while, if it does not already."""
        begun = not talking
        if begun:
            seed = next(seeds)
            talking.add(seed)
            business.begin(entertain(seed))
        return {"begun": begun}

    return [comment, audience]
