"""How a configuration is shown to people: each value with where it comes from, and no secret."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from pushgate.config.loading import Loaded


class Shown(Struct, frozen=True):
    """One value, as it may be shown, and where it stands; `default` for one that was not set."""

    value: Any
    origin: str


def show(loaded: Loaded) -> dict[str, Any]:
    """Return the configuration as tables, within them tables, lists of tables, and at last Shown."""
    tree: dict[str, Any] = _branch(loaded.config, "", loaded.origins)
    return tree


def write_toml(table: Mapping[str, Any], path: str = "") -> str:
    """Return what `show` returned as TOML, the origins as comments."""
    return "\n".join(_lines(table, path))


def _branch(value: Any, path: str, origins: Mapping[str, str]) -> Any:
    if isinstance(value, Struct):
        value = dict(value.__rich_repr__())  # without secrets
    if isinstance(value, dict):
        prefix = f"{path}." if path else ""
        return {name: _branch(item, prefix + name, origins) for name, item in value.items()}
    if isinstance(value, list) and value and isinstance(value[0], Struct):
        return [_branch(item, f"{path}[{index}]", origins) for index, item in enumerate(value)]
    return Shown(value, origins.get(path, "default"))


def _lines(table: Mapping[str, Any], path: str) -> Iterator[str]:
    for name, value in table.items():
        if isinstance(value, Shown) and value.value is None:
            yield f"# {name} is not set"  # TOML knows no null
        elif isinstance(value, Shown):
            yield f"{name} = {_write(value.value)}  # {value.origin}"
    for name, value in table.items():
        inner = f"{path}.{name}" if path else name
        if isinstance(value, dict):
            if any(isinstance(item, Shown) for item in value.values()):
                yield f"\n[{inner}]"
            yield from _lines(value, inner)
        elif isinstance(value, list):
            for item in value:
                yield f"\n[[{inner}]]"
                yield from _lines(item, inner)


def _write(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(_write(item) for item in value)}]"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else str(value)
