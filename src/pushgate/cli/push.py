"""`pushgate push`: one push through the HTTP API."""

from typing import Annotated, Literal

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
    find_api_key,
    say,
    split_tags,
    wait_for,
)
from pushgate.cli.receipt import await_receipt

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
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until every device known has acknowledged it; with --qos reliable.")
    ] = False,
    patience: Annotated[float, typer.Option(min=0, help="Seconds that --wait waits.")] = 30.0,
    api: Api = API,
    api_key: ApiKey = "",
    ca: Ca = None,
    cert: Cert = None,
    data_dir: DataDir = DATA_DIR,
) -> None:
    """Push DATA to USER and print the gateway's answer as JSON.

    For example: pushgate push alice '{"text": "hi"}', or pushgate push --everyone hello

    With --wait it exits 1 when the time is over, and says which devices lack the message. Of a push to everyone these
    are the devices that are connected.
    """
    from msgspec import json

    from pushgate.client.pusher import AsyncPusher
    from pushgate.client.trust import make_trust

    user, data = _read_target(user, data, everyone)
    what = _read_data(data, data_base64)
    if wait and qos != "reliable":
        raise typer.BadParameter("--wait goes with --qos reliable: nobody acknowledges a live message")
    key = find_api_key(api_key, data_dir)
    tls = make_trust(ca, cert)

    async def call() -> str:
        async with AsyncPusher(api, key, patience=0, tls=tls) as pusher:
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
            return await await_receipt(pusher, answer, user, patience) if wait else ""

    lacking = wait_for(call())
    if lacking:
        say(lacking)
        raise typer.Exit(1)


def _read_target(user: str | None, data: str | None, everyone: bool) -> tuple[str | None, str | None]:
    """Return the user, None for everyone, and DATA."""
    if everyone and data is not None:
        raise typer.BadParameter("--everyone takes DATA alone, without USER")
    if everyone:
        return None, user
    if user is None:
        raise typer.BadParameter("name a USER, or --everyone")
    return user, data


def _read_data(data: str | None, data_base64: str | None) -> object:
    """Return what is to be pushed."""
    if data is not None and data_base64 is None:
        return _parse_json(data)
    if data is None and data_base64 is not None:
        return _parse_base64(data_base64)
    raise typer.BadParameter("give DATA or --data-base64")


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
