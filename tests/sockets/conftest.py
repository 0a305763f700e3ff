from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pushgate.sockets.certificates import Certificate, read_certificate
from tests.rig.certificates import the_authority
from tests.rig.tls import TlsRig

MakeCertificate = Callable[..., Certificate]


@pytest.fixture
def make_certificate(tmp_path: Path) -> MakeCertificate:
    """Make certificates that the authority of the tests signed, as a port wants them."""

    def make(name: str = "one", **options: Any) -> Certificate:
        read = read_certificate("clients", *the_authority().write(tmp_path, name, **options))
        assert read is not None
        return read

    return make


@pytest.fixture
def make_tls(make_certificate: MakeCertificate) -> Iterator[Callable[..., TlsRig]]:
    """Make TLS sides of workers; they are stopped after the test."""
    made: list[TlsRig] = []

    def make(certificate: Certificate | None = None, **options: Any) -> TlsRig:
        made.append(TlsRig(certificate or make_certificate(), **options))
        return made[-1]

    yield make
    for rig in made:
        rig.stop()
