"""All stories as one application: their pages, their calls, and the token that lets a page in."""

import asyncio
import logging
from pathlib import Path
from typing import Any

from litestar import Litestar, Request, Response, get, post
from litestar.di import Provide
from litestar.exceptions import HTTPException, NotFoundException
from litestar.static_files import create_static_files_router

from examples.stories.business import Business
from examples.stories.comments.story import comments_routes
from examples.stories.contract.story import contract_routes
from examples.stories.filters.story import filters_routes
from examples.stories.gateway import OwnGateway
from examples.stories.liveness.story import liveness_routes
from examples.stories.realname.story import realname_routes
from examples.stories.visitors import RUN, know_visitor, make_cookie, uid_of
from pushgate.errors import PushgateError

HERE = Path(__file__).parent
SDK = HERE.parents[1] / "sdk" / "js" / "dist"
STORIES = ("filters", "realname", "liveness", "comments", "contract")


def build_app(business: Business, directory: Path, own: OwnGateway | None) -> Litestar:
    """Return the application; `directory` is for what it keeps while it runs, `own` the gateway, where it is ours."""
    restarting = asyncio.Lock()

    @get("/api/gateway", sync_to_thread=False)
    def gateway(request: Request[Any, Any, Any]) -> dict[str, Any]:
        """Where pages connect, whether they may have that restarted, and of which run they remember something."""
        url = f"ws://{request.url.hostname}:{own.port}/ws" if own else business.clients
        return {"url": url, "restarts": own is not None, "run": RUN}

    @post("/api/gateway/restart")
    async def restart() -> dict[str, str]:
        """Restart the gateway: no story may lose anything by that."""
        if own is None:
            raise NotFoundException("the gateway is not ours")
        async with restarting:
            await asyncio.to_thread(own.restart)
        return {}

    @post("/api/token")
    async def token(request: Request[Any, Any, Any]) -> Response[dict[str, str]]:
        """A token for who asks, who becomes a visitor by that."""
        cookie = make_cookie(request)
        answer = {"token": await business.token(uid_of(str(cookie.value)))}
        return Response(answer, cookies=[cookie])

    pages = [create_static_files_router(f"/{name}", [HERE / name / "page"], html_mode=True) for name in STORIES]
    return Litestar(
        [
            gateway,
            restart,
            token,
            *filters_routes(business, directory),
            *realname_routes(business),
            *liveness_routes(business),
            *comments_routes(business),
            *contract_routes(business),
            *pages,
            create_static_files_router("/sdk", [SDK]),
            create_static_files_router("/", [HERE / "shared"], html_mode=True),
        ],
        dependencies={"visitor": Provide(know_visitor, sync_to_thread=False)},
        exception_handlers={PushgateError: _away},
        request_max_body_size=12 * 1024 * 1024,
        on_shutdown=[business.close],
        openapi_config=None,
        logging_config=None,
        after_exception=[_log],
    )


async def _log(error: Exception, _: Any) -> None:
    if not isinstance(error, HTTPException | PushgateError):
        logging.getLogger("stories").error("a call failed", exc_info=error)


def _away(_: Request[Any, Any, Any], error: Exception) -> Response[dict[str, str]]:
    return Response({"detail": str(error)}, status_code=503)
