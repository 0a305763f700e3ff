"""Where a value comes from: `pushgate.toml`, then the environment (`PUSHGATE_SECTION_KEY`), then flags; later ones win.

Unknown keys and bad values are a ConfigError that names the key, what was expected, what came and where it stands.
"""

import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, NoReturn, get_args, get_origin

from msgspec import Struct, ValidationError, convert
from msgspec.structs import fields

from pushgate.config.hiding import HIDDEN
from pushgate.config.settings import Config
from pushgate.errors import ConfigError

CLIENT_VARIABLES = frozenset(
    {"PUSHGATE_CONFIG", "PUSHGATE_API_KEY", "PUSHGATE_URL", "PUSHGATE_TOKEN", "PUSHGATE_CA", "PUSHGATE_CERT"}
)
"""Variables that commands read by themselves; they are no settings of a node."""

SECRET_KEYS = frozenset({"secret", "api_keys", "read_keys", "url", "endpoint"})
"""Keys whose values no error shows: `api_keys` and `read_keys` may hold the key itself by mistake, a URL a password."""


class Loaded(NamedTuple):
    """A configuration, and where its values stand: `origins` has their paths, as in `tenants.acme.api_keys`.

    A path that is not in it is a default.
    """

    config: Config
    origins: Mapping[str, str]


def load(
    path: Path | None = None,
    environ: Mapping[str, str] = os.environ,
    flags: Mapping[str, Any] | None = None,
) -> Config:
    """Return the configuration from a file (none: defaults), the environment and flags.

    `flags` maps "section.key" to a value; None values are not set. Raises ConfigError.
    """
    return load_with_origins(path, environ, flags).config


def load_with_origins(
    path: Path | None = None,
    environ: Mapping[str, str] = os.environ,
    flags: Mapping[str, Any] | None = None,
) -> Loaded:
    """Do what `load` does, and tell where each value comes from."""
    tree: dict[str, Any] = _read_file(path) if path else {}
    origins = {"": str(path)}
    settings = _environment(environ)
    for name, value in (flags or {}).items():
        if value is not None:
            settings.append((name, value, f"flag for {name}"))
    for name, value, origin in settings:
        section, key = name.split(".")
        part = tree.setdefault(section, {})
        if not isinstance(part, dict):
            _fail(section, "expected a table", part, origins)
        part[key] = value
        origins[name] = origin
    config: Config = _build(Config, tree, "", origins)
    return Loaded(config, {path: _origin(path, origins) for path in _name_values(tree, "")})


def _name_values(tree: Mapping[str, Any], path: str) -> Iterator[str]:
    """Yield the paths of all values in a tree."""
    for name, value in tree.items():
        here = f"{path}.{name}" if path else name
        if isinstance(value, dict):
            yield from _name_values(value, here)
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for index, item in enumerate(value):
                yield from _name_values(item, f"{here}[{index}]")
        else:
            yield here


def _read_file(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from None


def _environment(environ: Mapping[str, str]) -> list[tuple[str, Any, str]]:
    """Return ("section.key", value, origin) for each PUSHGATE_ variable, the value in the key's type."""
    sections = {section.name: section.type for section in fields(Config)}
    found = []
    for variable, text in sorted(environ.items()):
        if not variable.startswith("PUSHGATE_") or variable in CLIENT_VARIABLES:
            continue
        section, _, key = variable.removeprefix("PUSHGATE_").lower().partition("_")
        if section == "tenants":
            raise ConfigError(f"{variable}: tenants stand in the file only, expected [tenants.NAME] there")
        types = {each.name: each.type for each in fields(sections[section])} if section in sections else {}
        if key not in types:
            raise ConfigError(
                f"{variable}: no such setting, expected PUSHGATE_SECTION_KEY, as in PUSHGATE_CLIENTS_PORT"
            )
        name, origin = f"{section}.{key}", f"environment {variable}"
        value: Any = text
        if get_origin(types[key]) is list:
            value = [item.strip() for item in text.split(",") if item.strip()]
        found.append((name, _convert(types[key], value, name, {name: origin}, strict=False), origin))
    return found


def _build(kind: Any, value: Any, path: str, origins: Mapping[str, str]) -> Any:
    """Return a value of the tree as a kind, checked piece by piece so that an error names the exact key."""
    if get_origin(kind) is list:
        if not isinstance(value, list):
            _fail(path, "expected an array", value, origins)
        (item_kind,) = get_args(kind)
        return [_build(item_kind, item, f"{path}[{index}]", origins) for index, item in enumerate(value)]
    is_struct = isinstance(kind, type) and issubclass(kind, Struct)
    if not is_struct and get_origin(kind) is not dict:
        return _convert(kind, value, path, origins)
    if not isinstance(value, dict):
        _fail(path, "expected a table", value, origins)
    prefix = f"{path}." if path else ""
    if not is_struct:
        name_kind, item_kind = get_args(kind)
        for name in value:
            _convert(name_kind, name, prefix + name, origins)
        return {name: _build(item_kind, item, prefix + name, origins) for name, item in value.items()}
    known = {each.name: each for each in fields(kind)}
    for name in value:
        if name not in known:
            where = _origin(prefix + name, origins)
            raise ConfigError(f"{prefix}{name}: no such setting, expected one of {', '.join(known)} ({where})")
    # TOML knows no null, so None is what a required key has when it is missing.
    given = {**{name: None for name, each in known.items() if each.required}, **value}
    return kind(**{name: _build(known[name].type, item, prefix + name, origins) for name, item in given.items()})


def _convert(kind: Any, value: Any, path: str, origins: Mapping[str, str], *, strict: bool = True) -> Any:
    try:
        return convert(value, kind, strict=strict)
    except ValidationError as error:
        if get_origin(kind) is Literal:
            reason = f"expected one of {', '.join(get_args(kind))}"
        else:
            reason = str(error).partition(", got ")[0].replace(" | null", "")
        _fail(path, reason[0].lower() + reason[1:], value, origins)


def _fail(path: str, reason: str, value: Any, origins: Mapping[str, str]) -> NoReturn:
    key = path.rpartition(".")[2].partition("[")[0]
    if isinstance(value, dict | list):
        came = "a table" if isinstance(value, dict) else "an array"
    elif value is None:
        came = "nothing"
    else:
        came = f"{HIDDEN} (not shown)" if key in SECRET_KEYS else repr(value)
    raise ConfigError(f"{path}: {reason}, got {came} ({_origin(path, origins)})") from None


def _origin(path: str, origins: Mapping[str, str]) -> str:
    """Return where the value at a path stands: what is known of it, or of the table that it is in."""
    while path not in origins:
        path = path.rpartition(".")[0]
    return origins[path]
