"""What may stand behind the `?` of a broker's URL: names with values, among them the files of TLS."""

import ssl
from collections.abc import Mapping
from urllib.parse import parse_qsl

from pushgate.errors import ConfigError

TLS_FILES = ("ca", "certificate", "key")
"""Paths of PEM files: whom to trust instead of the system's authorities, and what to show."""


def read_options(query: str, known: tuple[str, ...], secure: str, setting: str) -> dict[str, str]:
    """Return the options of a query, which may be those that are known. `secure` is empty when the URL asks for TLS,
    else which one would. Raises ConfigError, which names the setting."""
    try:
        options = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)))
    except ValueError:
        options = {"": ""}
    if not options.keys() <= set(known) or not all(options.values()):
        raise ConfigError(f"{setting}: expected {', '.join(known)} behind the ?")
    if ("certificate" in options) != ("key" in options):
        raise ConfigError(f"{setting}: expected certificate and key together")
    if secure and options.keys() & {"ca", "certificate"}:
        raise ConfigError(f"{setting}: expected {secure}:// with ca or certificate")
    return options


def make_context(options: Mapping[str, str]) -> ssl.SSLContext:
    """Return how to speak TLS. Raises OSError or ValueError when a file cannot be used."""
    context = ssl.create_default_context(cafile=options.get("ca"))
    if "certificate" in options:
        context.load_cert_chain(options["certificate"], options["key"], password="")
    return context
