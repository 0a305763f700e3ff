"""What a node started without configuration prints: the page to open and a line to paste."""

from contextlib import suppress

from pushgate import __version__
from pushgate.config import Config


def print_banner(clients: tuple[str, int], management: tuple[str, int], api_key: str, config: Config) -> None:
    """Print to standard output, for people, how to use the node; addresses as `getsockname` gives them."""
    with suppress(OSError):  # nobody reads it: no reason not to serve
        print(_describe(clients, management, api_key, config), flush=True)


def _describe(clients: tuple[str, int], management: tuple[str, int], api_key: str, config: Config) -> str:
    api = f"{'https' if config.management.tls_certificate else 'http'}://{_show(management)}"
    sockets = f"{'wss' if config.clients.tls_certificate else 'ws'}://{_show(clients)}/ws"
    lines = [
        "",
        f"pushgate {__version__} is ready. Its keys and data are in {config.node.data_dir}/",
        "",
        f"  clients connect to  {sockets}",
        f"  API documentation   {api}/docs",
    ]
    if config.management.demo:
        lines.append(f"  open in two tabs    {api}/demo")
    lines += [
        "",
        "Then push:",
        "",
        f"curl {api}/v1/push -H 'Authorization: Bearer {api_key}' -H 'Content-Type: application/json'"
        """ -d '{"user": "alice", "event": "comment", "data": {"text": "hi"}}'""",
        "",
    ]
    return "\n".join(lines)


def _show(address: tuple[str, int]) -> str:
    host, port = address[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 # where this machine reaches it
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
