"""`pushgate push`: one push through the HTTP API."""

from typing import Annotated, Literal

import typer

from pushgate.cli.common import API, DATA_DIR, Api, ApiKey, Ca, Cert, DataDir, Tags, find_api_key, split_tags, wait_for

Qos = Literal["live", "reliable"]


def push(
    user: Annotated[str | None, typer.Argument(help="The user's name (uid); none with --everyone.")] = None,
    data: Annotated[str | None, typer.Argument(help="What to push: JSON if it parses, else a string.")] = None,
    everyone: Annotated[bool, typer.Option("--everyone", help="Push to all users of the tenant.")] = False,
    event: Annotated[str | None, typer.Option(help="The event's name. Default: message.")] = None,
    device: Annotated[str | None, typer.Option(help="Only to this device.")] = None,
    tags: Tags = None,
    data_base64: Annotated[str | None, typer.Option(help="Bytes to push, in base64; in place of DATA.")] = None,
    id: Annotated[str | None, typer.Option(help="The message's id. Default: made by the gateway.")] = None,
    qos: Annotated[Qos | None, typer.Option(help="How surely it arrives. Default: live.")] = None,
    ttl: Annotated[int | None, typer.Option(help="Seconds that a reliable message is kept.")] = None,
    api: Api = API,
    api_key: ApiKey = "",
    ca: Ca = None,
    cert: Cert = None,
    data_dir: DataDir = DATA_DIR,
) -> None:
    """Push DATA to USER and print the gateway's answer as JSON.

    For example: pushgate push alice '{"text": "hi"}', or pushgate push --everyone hello
    """
    from msgspec import json

    from pushgate.client.pusher import Pusher
    from pushgate.client.trust import make_trust

    if everyone:
        if data is not None:
            raise typer.BadParameter("--everyone takes DATA alone, without USER")
        user, data = None, user
    elif user is None:
        raise typer.BadParameter("name a USER, or --everyone")
    if (data is None) == (data_base64 is None):
        raise typer.BadParameter("give DATA or --data-base64")
    what = _parse_json(data) if data is not None else _parse_base64(data_base64 or "")
    key = find_api_key(api_key, data_dir)
    tls = make_trust(ca, cert)

    async def call() -> None:
        async with Pusher(api, key, tls=tls) as pusher:
            answer = await pusher.push(
                what,
                user=user,
                everyone=everyone,
                event=event,
                device=device,
                tags=split_tags(tags),
                id=id,
                qos=qos,
                ttl=ttl,
            )
        typer.echo(json.encode(answer))

    wait_for(call())


def _parse_json(text: str) -> object:
    import json

    try:
        return json.loads(text)
    except ValueError:
        return text


def _parse_base64(text: str) -> bytes:
    from base64 import b64decode

    try:
        return b64decode(text, validate=True)
    except ValueError as error:
        raise typer.BadParameter(f"--data-base64: {error}") from None
