"""What a node started without configuration prints: the page to open and a line to paste."""

from pushgate import __version__
from pushgate.config import Config


def print_banner(clients: tuple[str, int], management: tuple[str, int], api_key: str, config: Config) -> None:
    """Print to standard output, for people, how to use the node; addresses as `getsockname` gives them."""
    api = f"http://{_show(management)}"
    print(f"\npushgate {__version__} is ready. Its keys and data are in {config.node.data_dir}/\n")
    print(f"  clients connect to  ws://{_show(clients)}/ws")
    print(f"  API documentation   {api}/docs")
    if config.management.demo:
        print(f"  open in two tabs    {api}/demo")
    print("\nThen push:\n")
    print(
        f"curl {api}/v1/push -H 'Authorization: Bearer {api_key}' -H 'Content-Type: application/json'"
        """ -d '{"user": "alice", "event": "comment", "data": {"text": "hi"}}'\n""",
        flush=True,
    )


def _show(address: tuple[str, int]) -> str:
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
