"""A node whose keys are known: those of `keys`."""

from pathlib import Path

from tests.hostile.keys import API_KEY, SECRET, configuration
from tests.rig.certificates import the_authority
from tests.rig.node import RunningNode


class KnownNode(RunningNode):
    """A node of two workers with the embedded NATS, two tenants and a key of every kind.

    With `tls` its clients speak TLS, and trust the tests' authority. They have 3 s for a handshake, so that those who
    take their time are through with it.
    """

    def __init__(self, directory: Path, tls: bool = False, **environ: str) -> None:
        file = directory / "pushgate.toml"
        file.write_text(configuration())
        if tls:
            chain, key = the_authority().write(directory, "node")
            environ |= {"PUSHGATE_CLIENTS_TLS_CERTIFICATE": chain, "PUSHGATE_CLIENTS_TLS_KEY": key}
        environ.setdefault("PUSHGATE_CLIENTS_HANDSHAKE_TIMEOUT", "3")
        self.tls = tls
        super().__init__(directory, "--workers", "2", "--config", str(file), **environ)

    def _keys(self) -> dict[str, str]:
        return {"api_key": API_KEY, "token_secret": SECRET}
