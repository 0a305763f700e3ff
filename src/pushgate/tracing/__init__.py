"""Tracing: pushes as spans, for a collector of OpenTelemetry. Off unless configuration or environment ask for it.

base    what is traced
otel    OpenTelemetry's SDK, with the extra `pushgate[otel]`
"""

import os
from collections.abc import Callable, Mapping
from importlib import import_module
from urllib.parse import urlsplit

from pushgate.config import TracingConfig
from pushgate.errors import ConfigError
from pushgate.metrics.rows import Row
from pushgate.tracing.base import Span, Tracer

__all__ = ["Span", "Tracer", "check_tracing", "create_tracer"]

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
"""Variables of OpenTelemetry that say where spans go. Set, they ask for tracing, where the extra is installed."""


def check_tracing(config: TracingConfig, environ: Mapping[str, str] = os.environ) -> list[str]:
    """Return doubts about the settings; whatever tracing needs is imported then, once for all forked processes.

    Raises ConfigError for an endpoint that is none, or when it is set and the extra is not installed.
    """
    if config.endpoint and not _is_url(config.endpoint):
        raise ConfigError("tracing.endpoint: expected a URL, as in http://localhost:4318/v1/traces, got none")
    variable = _variable(environ)
    if not config.endpoint and not variable:
        return []
    try:
        import_module("pushgate.tracing.otel")
    except ModuleNotFoundError as error:
        needs = f"needs the extra: pip install 'pushgate[otel]' ({error})"
        if config.endpoint:
            raise ConfigError(f"tracing.endpoint: {needs}") from None
        return [f"nothing is traced: {variable} {needs}"]
    return []


def create_tracer(config: TracingConfig, facts: Mapping[str, str], row: Row) -> Tracer | None:
    """Return the tracer of this process, whose thread begins now; None where nothing is to be traced.

    `facts` say who it is, by OpenTelemetry's names, and `row` is where it counts. `check_tracing` has to be content.
    """
    if not config.endpoint and not _variable(os.environ):
        return None
    try:
        create: Callable[..., Tracer] = import_module("pushgate.tracing.otel").OtelTracer
    except ModuleNotFoundError:
        return None  # asked for by the environment alone: a warning has said it
    return create(config.endpoint, config.sample, facts, row)


def _is_url(endpoint: str) -> bool:
    try:
        url = urlsplit(endpoint)
    except ValueError:
        return False
    return url.scheme in ("http", "https") and bool(url.hostname)


def _variable(environ: Mapping[str, str]) -> str:
    """Return the variable that asks for tracing, "" for none."""
    if environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or environ.get("OTEL_TRACES_EXPORTER") == "none":
        return ""
    return next((name for name in ENDPOINTS if environ.get(name)), "")
