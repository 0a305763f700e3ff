import tomllib
from pathlib import Path

import pytest
from msgspec import json

from pushgate.config import Config, Loaded, load_with_origins
from pushgate.config.showing import Shown, show, write_toml

HASH = "sha256:" + "0123456789abcdef" * 4
SECRET = "a secret that is long enough for HS256"
FILE = f"""
[clients]
port = 9000
origins = ["https://a.example", "https://b.example"]
[bus]
url = "nats://user:password@host:4222"
[tenants.acme]
api_keys = ["{HASH}"]
[[tenants.acme.token_keys]]
algorithm = "HS256"
secret = "{SECRET}"
[[tenants.acme.token_keys]]
algorithm = "EdDSA"
kid = "the \\"second\\" ✓"
public_key_file = "key.pem"
[tenants.empty]
"""


@pytest.fixture
def loaded(tmp_path: Path) -> Loaded:
    file = tmp_path / "p.toml"
    file.write_text(FILE)
    return load_with_origins(
        file, {"PUSHGATE_CLIENTS_PORT": "9001", "PUSHGATE_NODE_WORKERS": "2"}, {"log.level": "debug"}
    )


def test_every_value_says_where_it_comes_from(loaded: Loaded, tmp_path: Path) -> None:
    shown = show(loaded)
    file = str(tmp_path / "p.toml")
    assert shown["clients"]["port"] == Shown(9001, "environment PUSHGATE_CLIENTS_PORT")
    assert shown["node"]["workers"] == Shown(2, "environment PUSHGATE_NODE_WORKERS")
    assert shown["clients"]["origins"] == Shown(["https://a.example", "https://b.example"], file)
    assert shown["clients"]["host"] == Shown("127.0.0.1", "default")
    assert shown["log"]["level"] == Shown("debug", "flag for log.level")
    second = shown["tenants"]["acme"]["token_keys"][1]
    assert second["kid"] == Shown('the "second" ✓', file)
    assert second["secret"] == Shown("", "default")
    assert list(shown) == list(Config.__struct_fields__), "nothing is left out"


def test_it_is_toml_that_means_what_was_loaded_without_the_secrets(loaded: Loaded) -> None:
    text = write_toml(show(loaded))
    read = tomllib.loads(text)
    assert read["clients"]["port"] == 9001
    assert read["clients"]["compression"] is True
    assert read["node"]["stop_grace"] == 5.0
    assert read["bus"]["url"] == "nats://***@host:4222"
    assert [key["algorithm"] for key in read["tenants"]["acme"]["token_keys"]] == ["HS256", "EdDSA"]
    assert read["tenants"]["acme"]["token_keys"][1]["kid"] == 'the "second" ✓'
    assert read["tenants"]["empty"]["api_keys"] == []
    assert "port = 9001  # environment PUSHGATE_CLIENTS_PORT\n" in text
    for secret in (SECRET, HASH, "password"):
        assert secret not in text
        assert secret not in json.encode(show(loaded)).decode()


def test_defaults_alone() -> None:
    loaded = load_with_origins(None, {})
    assert loaded == Loaded(Config(), {})
    assert {value.origin for table in show(loaded).values() for value in table.values()} == {"default"}
