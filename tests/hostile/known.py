"""A node whose keys are known: those of `keys`."""

from pathlib import Path

from tests.hostile.keys import API_KEY, SECRET, configuration
from tests.rig.node import RunningNode


class KnownNode(RunningNode):
    """A node of two workers with the embedded NATS, two tenants and a key of every kind.

    Clients have 3 s for a handshake, so that those who take their time are through with it.
    """

    def __init__(self, directory: Path, **environ: str) -> None:
        file = directory / "pushgate.toml"
        file.write_text(configuration())
        environ.setdefault("PUSHGATE_CLIENTS_HANDSHAKE_TIMEOUT", "3")
        super().__init__(directory, "--workers", "2", "--config", str(file), **environ)

    def _keys(self) -> dict[str, str]:
        return {"api_key": API_KEY, "token_secret": SECRET}
