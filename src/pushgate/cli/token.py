"""`pushgate token`: a client token for a user."""

from typing import Annotated

import typer

from pushgate.cli.common import (
    API,
    DATA_DIR,
    Api,
    ApiKey,
    Ca,
    Cert,
    DataDir,
    Tags,
    User,
    find_api_key,
    split_tags,
    wait_for,
)


def token(
    user: User,
    ttl: Annotated[int | None, typer.Option(min=1, help="Seconds until it expires. Default: the gateway's.")] = None,
    tags: Tags = None,
    api: Api = API,
    api_key: ApiKey = "",
    ca: Ca = None,
    cert: Cert = None,
    data_dir: DataDir = DATA_DIR,
) -> None:
    """Print a client token for USER, made by the running gateway, which knows its tenants and their keys."""
    from pushgate.client.pusher import AsyncPusher
    from pushgate.client.trust import make_trust

    key = find_api_key(api_key, data_dir)
    tls = make_trust(ca, cert)

    async def call() -> str:
        async with AsyncPusher(api, key, patience=0, tls=tls) as pusher:
            return await pusher.token(user, ttl=ttl, tags=split_tags(tags))

    typer.echo(wait_for(call()))
