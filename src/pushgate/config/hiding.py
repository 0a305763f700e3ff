"""How settings are shown without their secrets: in no error, and neither by `repr` nor by rich."""

import re
from typing import Any

from msgspec import Struct

HIDDEN = "***"
"""What stands for a secret wherever a configuration is shown."""


def shown_url(url: str) -> str:
    """Return a URL as it may be shown: without user and password, and those of Sentinels."""
    return re.sub("(sentinel_(?:user|password)=)[^&]*", rf"\1{HIDDEN}", re.sub("//.*@", f"//{HIDDEN}@", url))


def show_fields(config: Struct, **instead: Any) -> list[tuple[str, Any]]:
    """Return the fields of settings with their values, or with what is shown `instead`."""
    return [(name, instead.get(name, getattr(config, name))) for name in config.__struct_fields__]


def show_struct(config: Struct) -> str:
    """Return what `repr` says of settings that have secrets: what their `__rich_repr__` lets it see."""
    return f"{type(config).__name__}({', '.join(f'{name}={value!r}' for name, value in config.__rich_repr__())})"
