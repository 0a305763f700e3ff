import json
from pathlib import Path

import pytest

from tests.cli.conftest import Main

TENANT = """
[tenants.acme]
api_keys = ["sha256:{}"]
[[tenants.acme.token_keys]]
algorithm = "HS256"
secret = "{}"
"""
GOOD = TENANT.format("ab" * 32, "s" * 32)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "pushgate.toml"
    made.write_text(GOOD)
    return made


def test_show(main: Main, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUSHGATE_CONFIG", str(file))
    monkeypatch.setenv("PUSHGATE_NODE_WORKERS", "3")
    code, out, err = main("config", "show")
    assert (code, err) == (0, "")
    assert out.startswith('[node]\nname = ""  # default\nworkers = 3  # environment PUSHGATE_NODE_WORKERS\n')
    assert f'[tenants.acme]\napi_keys = ["sha256:abababab***"]  # {file}\n' in out
    assert "s" * 32 not in out
    code, out, _ = main("config", "show", "--json")
    said = json.loads(out)
    assert said["node"]["workers"] == {"value": 3, "origin": "environment PUSHGATE_NODE_WORKERS"}
    assert said["tenants"]["acme"]["token_keys"][0]["secret"] == {"value": "***", "origin": str(file)}


def test_show_tells_what_is_wrong_with_a_file(main: Main, file: Path) -> None:
    file.write_text("[clients]\nport = 'x'\n")
    code, out, err = main("config", "show", "--config", str(file))
    assert (code, out) == (2, "")
    assert err == f"pushgate: clients.port: expected `int`, got 'x' ({file})\n"


def test_check(main: Main, file: Path, tmp_path: Path) -> None:
    assert main("config", "check", "--config", str(file)) == (0, "ok\n", "")
    assert sorted(tmp_path.iterdir()) == [file], "nothing is made"


def test_check_without_a_file_is_of_a_node_that_makes_its_own_keys(main: Main, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUSHGATE_MANAGEMENT_DEMO", "true")
    assert main("config", "check") == (0, "ok\n", "")


def test_check_warns_of_what_is_hardly_meant(main: Main, file: Path) -> None:
    file.write_text("")
    code, out, err = main("config", "check", "--config", str(file))
    assert (code, out) == (0, "ok\n")
    assert err == "pushgate: warning: no tenant is configured: nobody can connect or push\n"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("[clients]\nprot = 1", "clients.prot: no such setting"),
        (TENANT.format("ab" * 32, "short"), "tenants.acme.token_keys[0].secret: expected"),
        ("[management]\ndemo = true", "management.demo: expected a tenant"),
        ('[bus]\nurl = "pigeon:"', "bus.url: expected"),
        ('[bus]\nnats_server = "/no/such"', "bus.nats_server: /no/such is not a program"),
        ('[bus]\nurl = "memory:"\n[node]\nworkers = 2', "node.workers: expected 1 with the bus `memory:`, got 2"),
        ("[", "not TOML"),
    ],
)
def test_check_says_what_is_wrong_and_exits_2(main: Main, file: Path, text: str, error: str) -> None:
    file.write_text(text)
    code, out, err = main("config", "check", "--config", str(file))
    assert (code, out) == (2, "")
    assert error in err
    assert err.count("\n") == 1
    assert "short" not in err
