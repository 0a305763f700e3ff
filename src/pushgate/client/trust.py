"""Whom a client of the gateway trusts over TLS, and what it shows of itself."""

import ssl
from pathlib import Path

from pushgate.errors import ConfigError


def make_trust(ca: Path | None, certificate: Path | None) -> ssl.SSLContext | None:
    """Return what `Pusher` and `Listener` take as `tls`; None, which means the usual authorities, for two times None.

    `ca` is a PEM file of the authorities to trust in place of the system's, `certificate` one with the caller's own
    certificate and its key, for a gateway that asks for one. Raises ConfigError for a file that is not that.
    """
    if ca is None and certificate is None:
        return None
    try:
        context = ssl.create_default_context(cafile=ca)
    except OSError as error:
        raise ConfigError(f"--ca: expected a PEM file of certificates, got {str(ca)!r}: {_reason(error)}") from None
    if certificate is not None:
        try:
            context.load_cert_chain(certificate)
        except OSError as error:
            raise ConfigError(
                f"--cert: expected a PEM file of a certificate and its key, got {str(certificate)!r}: {_reason(error)}"
            ) from None
    return context


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "unknown").lower().replace("_", " ")
    return error.strerror or "unknown"
