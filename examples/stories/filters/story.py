"""A picture is uploaded; a background task makes eight versions, and each is pushed when it is ready."""

import asyncio
import re
import secrets
from pathlib import Path
from typing import Any

from litestar import Request, Response, get, post
from litestar.exceptions import NotFoundException, ValidationException
from litestar.types import ControllerRouterHandler
from PIL import Image

from examples.stories.business import Business
from examples.stories.filters.filters import FILTERS, open_picture, write_version

_PAUSE = 1.0  # seconds between versions, for a visitor to see them come; times the pace


def filters_routes(business: Business, directory: Path) -> list[ControllerRouterHandler]:
    """Return the calls of this story; pictures are kept in `directory`."""
    pictures = directory / "pictures"
    pictures.mkdir()

    async def make_versions(user: str, job: str, picture: Image.Image) -> None:
        await business.push(user, "picture", {"job": job, "filters": list(FILTERS)}, id=f"{job}-picture")
        for name in FILTERS:
            version = await asyncio.to_thread(write_version, picture, name)
            (pictures / f"{job}-{name}.jpg").write_bytes(version)
            data = {"job": job, "filter": name, "url": f"/api/filters/{job}/{name}"}
            await business.push(user, "version", data, id=f"{job}-{name}")
            await asyncio.sleep(_PAUSE * business.pace)

    @post("/api/filters")
    async def upload(request: Request[Any, Any, Any], visitor: str) -> dict[str, str]:
        """Take a picture; the answer comes before any version is made."""
        try:
            picture = await asyncio.to_thread(open_picture, await request.body())
        except ValueError as error:
            raise ValidationException(str(error)) from None
        job = secrets.token_hex(16)
        business.begin(make_versions(visitor, job, picture))
        return {"job": job}

    @get("/api/filters/{job:str}/{name:str}", sync_to_thread=True)
    def version(job: str, name: str) -> Response[bytes]:
        """A version; who knows its job may see it."""
        path = pictures / f"{job}-{name}.jpg"
        if name not in FILTERS or not re.fullmatch("[0-9a-f]{32}", job) or not path.exists():
            raise NotFoundException("there is no such picture")
        return Response(path.read_bytes(), media_type="image/jpeg", headers={"Cache-Control": "private, max-age=3600"})

    return [upload, version]
