"""A desktop shows a code; a phone that reads it confirms who its owner is, step by step; the desktop follows."""

import secrets
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import segno
from litestar import Request, post
from litestar.exceptions import NotFoundException, ValidationException
from litestar.types import ControllerRouterHandler

from examples.stories.business import Business
from examples.stories.realname.identity import check_number, mask_number

STEPS = ("shown", "scanned", "entered", "confirmed")
_GOOD_FOR = 300.0  # seconds that a code may be used


@dataclass
class Check:
    """A check of one desktop's user: how far it is, and what was entered."""

    user: str
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    ends: float = field(default_factory=lambda: monotonic() + _GOOD_FOR)
    step: str = STEPS[0]
    name: str = ""
    number: str = ""


@dataclass
class Identity:
    """What is entered on the phone."""

    name: str
    number: str


def realname_routes(business: Business) -> list[ControllerRouterHandler]:
    """Return the calls of this story. A code is a secret: who has read it off the screen speaks for its phone."""
    checks: dict[str, Check] = {}

    def find(code: str, *steps: str) -> Check:
        check = checks.get(code)
        if check is None or check.ends < monotonic():
            raise NotFoundException("this code is not good any more: have the desktop show a new one")
        if check.step not in steps:
            raise ValidationException("this step was done already")
        return check

    async def tell(check: Check, step: str) -> dict[str, str]:
        """Push a step to the desktop; the phone's answer comes when that is stored."""
        data = {"check": check.id, "step": step, "name": check.name, "number": mask_number(check.number)}
        before, check.step = check.step, step  # now, for the same to be refused while this is pushed
        try:
            await business.push(check.user, "step", data, id=f"{check.id}-{step}", ttl=int(_GOOD_FOR))
        except Exception:
            check.step = before
            raise
        return {"step": step}

    @post("/api/realname")
    async def begin(request: Request[Any, Any, Any], visitor: str) -> dict[str, str]:
        """Return a new check, and its code as a picture and as an address."""
        for code in [code for code, check in checks.items() if check.ends < monotonic() or check.user == visitor]:
            del checks[code]
        code = secrets.token_urlsafe(12)
        check = checks[code] = Check(visitor)
        # Behind the #, where it is not sent to a server, and stands in no log.
        address = f"{business.phones or request.base_url}realname/phone#{code}"
        picture = segno.make(address, error="m").svg_data_uri(scale=6, border=2)
        return {"check": check.id, "picture": picture, "address": address}

    @post("/api/realname/{code:str}/scanned")
    async def scanned(code: str) -> dict[str, str]:
        """The phone has read the code. It may say so again, after a reload."""
        check = find(code, *STEPS[:3])
        return await tell(check, "scanned") if check.step == "shown" else {"step": check.step}

    @post("/api/realname/{code:str}/entered")
    async def entered(code: str, data: Identity) -> dict[str, str]:
        """The phone has entered a name and a number."""
        check = find(code, "scanned")
        number = data.number.strip().upper()
        try:
            check_number(number)
        except ValueError as error:
            raise ValidationException(str(error)) from None
        if not 1 <= len(data.name.strip()) <= 60:
            raise ValidationException("a name has 1 to 60 characters")
        check.name, check.number = data.name.strip(), number
        return await tell(check, "entered")

    @post("/api/realname/{code:str}/confirmed")
    async def confirmed(code: str) -> dict[str, str]:
        """The phone has confirmed what it entered; the code is used up."""
        answer = await tell(find(code, "entered"), "confirmed")
        checks.pop(code, None)
        return answer

    return [begin, scanned, entered, confirmed]
