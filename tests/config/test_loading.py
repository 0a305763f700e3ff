"""Where a value comes from, and what an error says: the key, what was expected, what came, where it stands."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.pretty import pretty_repr

from pushgate.config import BusConfig, Config, InboxConfig, TenantConfig, TokenKeyConfig, load
from pushgate.errors import ConfigError

HASH = "sha256:" + "0123456789abcdef" * 4
SECRET = "a secret that is long enough for HS256"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "pushgate.toml"


def error_of(file: Path | None, text: str = "", **environ: str) -> str:
    """Return the text of the ConfigError, "FILE" for the file's path."""
    if file:
        file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(file, environ)
    return str(caught.value).replace(str(file), "FILE")


def test_defaults() -> None:
    assert load(environ={}) == Config()
    assert load(environ={"PATH": "/bin", "pushgate_clients_port": "1", "XPUSHGATE_A": "1"}) == Config()


def test_file(file: Path) -> None:
    file.write_text(
        f"""
        node = {{data_dir = "a", stop_grace = 2}}
        clients.port = 1
        management.demo = true
        log.level = "debug"
        [tenants.empty]
        [tenants.acme]
        api_keys = ["{HASH}"]
        require_exp = false
        [[tenants.acme.token_keys]]
        algorithm = "HS256"
        secret = "{SECRET}"
        [[tenants.acme.token_keys]]
        algorithm = "EdDSA"
        kid = "b"
        public_key_file = "b.pem"
        """
    )
    config = load(file, {})
    assert config.node.data_dir == "a"
    assert (config.node.stop_grace, type(config.node.stop_grace)) == (2.0, float)
    assert config.clients.port == 1
    assert config.clients.host == "127.0.0.1"
    assert config.management.demo is True
    assert config.log.level == "debug"
    first = TokenKeyConfig(algorithm="HS256", secret=SECRET)
    second = TokenKeyConfig(algorithm="EdDSA", kid="b", public_key_file="b.pem")
    acme = TenantConfig(api_keys=[HASH], token_keys=[first, second], require_exp=False)
    assert config.tenants == {"acme": acme, "empty": TenantConfig()}


def test_later_ones_win(file: Path) -> None:
    file.write_text("[clients]\nport = 1\nbacklog = 1\nmax_message = 1000")
    environ = {"PUSHGATE_CLIENTS_PORT": "2", "PUSHGATE_CLIENTS_BACKLOG": "2"}
    clients = load(file, environ, {"clients.port": 3, "clients.max_message": None}).clients
    assert (clients.port, clients.backlog, clients.max_message) == (3, 2, 1000)
    assert load(file, environ).clients.port == 2
    assert load(file, {}).clients.port == 1


def test_a_value_that_is_overridden_may_be_wrong(file: Path) -> None:
    file.write_text('[clients]\nport = "x"')
    assert load(file, {"PUSHGATE_CLIENTS_PORT": "2"}).clients.port == 2
    assert load(file, {}, {"clients.port": 3}).clients.port == 3


def test_environment_takes_the_keys_type() -> None:
    text = "NODE_DATA_DIR=7 NODE_STOP_GRACE=2 NODE_WORKERS=4 MANAGEMENT_DEMO=true BUS_NATS_SERVER= LOG_STYLE=json"
    config = load(environ={f"PUSHGATE_{name}": value for name, _, value in (x.partition("=") for x in text.split())})
    assert config.node.data_dir == "7"
    assert config.node.workers == 4
    assert config.management.demo is True
    assert load(environ={"PUSHGATE_MANAGEMENT_DEMO": "0"}).management.demo is False
    proxies = load(environ={"PUSHGATE_CLIENTS_TRUSTED_PROXIES": "10.0.0.0/8, ::1,"}).clients.trusted_proxies
    assert proxies == ["10.0.0.0/8", "::1"], "a list is written with commas"
    assert config.bus.nats_server == ""
    assert config.log.style == "json"


def test_variables_of_commands_are_no_settings() -> None:
    names = ("CONFIG", "API_KEY", "URL", "TOKEN", "CA", "CERT")
    assert load(environ={f"PUSHGATE_{name}": "x" for name in names}) == Config()


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('[clients]\nport = "x"', "clients.port: expected `int`, got 'x' (FILE)"),
        ("[clients]\nport = true", "clients.port: expected `int`, got True (FILE)"),
        ("[clients]\nport = 1.5", "clients.port: expected `int`, got 1.5 (FILE)"),
        ("[clients]\nport = 65536", "clients.port: expected `int` <= 65535, got 65536 (FILE)"),
        ("[clients]\nport = -1", "clients.port: expected `int` >= 0, got -1 (FILE)"),
        ("[clients]\nport = []", "clients.port: expected `int`, got an array (FILE)"),
        ("[clients.port]", "clients.port: expected `int`, got a table (FILE)"),
        ("[node]\ndata_dir = 1979-05-27", "node.data_dir: expected `str`, got datetime.date(1979, 5, 27) (FILE)"),
        ("[node]\nstop_grace = 0", "node.stop_grace: expected `float` > 0.0, got 0 (FILE)"),
        ("[node]\nstop_grace = inf", "node.stop_grace: expected `float` <= 86400.0, got inf (FILE)"),
        ("[node]\nstop_grace = nan", "node.stop_grace: expected `float` > 0.0, got nan (FILE)"),
        ("[management]\ndemo = 1", "management.demo: expected `bool`, got 1 (FILE)"),
        ('[inbox]\nsync = "never"', "inbox.sync: expected one of always, interval, got 'never' (FILE)"),
        ("[inbox]\nreplicas = 6", "inbox.replicas: expected `int` <= 5, got 6 (FILE)"),
        ('[log]\nlevel = "loud"', "log.level: expected one of debug, info, warning, error, got 'loud' (FILE)"),
        ("[log]\nlevel = 1", "log.level: expected one of debug, info, warning, error, got 1 (FILE)"),
        (
            '[bus]\nprefix = "a.b"',
            r"bus.prefix: expected `str` matching regex '\\A[A-Za-z0-9_-]{1,64}\\Z', got 'a.b' (FILE)",
        ),
        ("clients = 1", "clients: expected a table, got 1 (FILE)"),
        ("[[clients]]", "clients: expected a table, got an array (FILE)"),
        ("tenants = 1", "tenants: expected a table, got 1 (FILE)"),
        ("[tenants]\nacme = 1", "tenants.acme: expected a table, got 1 (FILE)"),
        (
            "[clinets]",
            "clinets: no such setting, expected one of node, clients, management, limits, bus, cluster, inbox, log,"
            " tracing, tenants (FILE)",
        ),
        ("[log]\nlvl = 1", "log.lvl: no such setting, expected one of level, style (FILE)"),
        (
            "[tenants.acme]\nkeys = 1",
            "tenants.acme.keys: no such setting, expected one of api_keys, token_keys, read_keys, require_exp,"
            " connections, pushes_per_second, max_message, max_batch, inbox_bytes, inbox_messages, max_ttl (FILE)",
        ),
    ],
)
def test_error_in_the_file(file: Path, text: str, error: str) -> None:
    assert error_of(file, text) == error


@pytest.mark.parametrize("name", ["a b", "", "a.b", "x" * 65, "ü", "a\n"])
def test_name_of_a_tenant(file: Path, name: str) -> None:
    assert error_of(file, f"[tenants.{json.dumps(name)}]") == (
        rf"tenants.{name}: expected `str` matching regex '\\A[A-Za-z0-9_-]{{1,64}}\\Z', got {name!r} (FILE)"
    )


ALGORITHMS = "HS256, HS384, HS512, RS256, PS256, ES256, EdDSA"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("[[K]]", f"[0].algorithm: expected one of {ALGORITHMS}, got nothing (FILE)"),
        ('[[K]]\nalgorithm = "none"', f"[0].algorithm: expected one of {ALGORITHMS}, got 'none' (FILE)"),
        ('[[K]]\nalgorithm = "HS256"\n[[K]]\nalgorithm = "HS256"\nkid = 1', "[1].kid: expected `str`, got 1 (FILE)"),
        (
            '[[K]]\nalgorithm = "HS256"\nsecrets = "hush"',
            "[0].secrets: no such setting, expected one of algorithm, kid, secret, public_key, public_key_file (FILE)",
        ),
        ('[K]\nsecret = "hush"', ": expected an array, got a table (FILE)"),
        ('[[K]]\nalgorithm = "HS256"\nsecret = 12345', "[0].secret: expected `str`, got *** (not shown) (FILE)"),
    ],
)
def test_error_in_a_token_key(file: Path, text: str, error: str) -> None:
    text = text.replace("[K]", "[tenants.acme.token_keys]")
    assert error_of(file, text) == "tenants.acme.token_keys" + error


@pytest.mark.parametrize("key", ["pg_hush", HASH.upper(), HASH + "\\n", HASH[:-1], "sha256:"])
def test_api_keys_are_hashes_and_no_error_shows_one(file: Path, key: str) -> None:
    assert error_of(file, f'[tenants.acme]\napi_keys = ["{HASH}", "{key}"]') == (
        r"tenants.acme.api_keys[1]: expected `str` matching regex '\\Asha256:[0-9a-f]{64}\\Z', "
        "got *** (not shown) (FILE)"
    )
    assert error_of(file, f'[tenants.acme]\napi_keys = "{key}"') == (
        "tenants.acme.api_keys: expected an array, got *** (not shown) (FILE)"
    )


def test_newline_at_the_end_of_a_prefix() -> None:
    # It would end a line of the NATS protocol.
    assert error_of(None, PUSHGATE_BUS_PREFIX="pushgate\n").startswith("bus.prefix: expected `str` matching")


@pytest.mark.parametrize(
    ("variable", "value", "error"),
    [
        ("CLIENTS_PORT", "x", "clients.port: expected `int`, got 'x' ("),
        ("CLIENTS_PORT", "", "clients.port: expected `int`, got '' ("),
        ("CLIENTS_PORT", "65536", "clients.port: expected `int` <= 65535, got '65536' ("),
        ("NODE_STOP_GRACE", "soon", "node.stop_grace: expected `float`, got 'soon' ("),
        ("NODE_STOP_GRACE", "1e400", "node.stop_grace: number out of range, got '1e400' ("),
        ("NODE_STOP_GRACE", "nan", "node.stop_grace: expected `float` > 0.0, got 'nan' ("),
        ("MANAGEMENT_DEMO", "maybe", "management.demo: expected `bool`, got 'maybe' ("),
        ("LOG_LEVEL", "loud", "log.level: expected one of debug, info, warning, error, got 'loud' ("),
    ],
)
def test_error_in_the_environment(variable: str, value: str, error: str) -> None:
    variable = f"PUSHGATE_{variable}"
    assert error_of(None, **{variable: value}) == f"{error}environment {variable})"


@pytest.mark.parametrize("variable", ["PUSHGATE_CLIENTS_PROT", "PUSHGATE_CLIENTS", "PUSHGATE_", "PUSHGATE_PORT"])
def test_unknown_variable(variable: str) -> None:
    assert error_of(None, **{variable: "1"}) == (
        f"{variable}: no such setting, expected PUSHGATE_SECTION_KEY, as in PUSHGATE_CLIENTS_PORT"
    )


@pytest.mark.parametrize("variable", ["PUSHGATE_TENANTS", "PUSHGATE_TENANTS_ACME_API_KEYS"])
def test_tenants_stand_in_the_file_only(variable: str) -> None:
    assert error_of(None, **{variable: "hush"}) == (
        f"{variable}: tenants stand in the file only, expected [tenants.NAME] there"
    )


def test_error_in_a_flag(file: Path) -> None:
    file.write_text("[clients]\nport = 1")
    with pytest.raises(ConfigError) as caught:
        load(file, {"PUSHGATE_CLIENTS_PORT": "2"}, {"clients.port": 70000})
    assert str(caught.value) == "clients.port: expected `int` <= 65535, got 70000 (flag for clients.port)"


def test_where_it_stands_is_the_file_where_nothing_overrides(file: Path) -> None:
    text = '[clients]\nport = 1\nbacklog = "x"'
    assert error_of(file, text, PUSHGATE_CLIENTS_PORT="2") == ("clients.backlog: expected `int`, got 'x' (FILE)")


def test_section_that_is_no_table_under_a_variable(file: Path) -> None:
    assert error_of(file, "clients = 1", PUSHGATE_CLIENTS_PORT="2") == ("clients: expected a table, got 1 (FILE)")


def test_file_that_cannot_be_read(file: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(file, {})
    assert str(caught.value) == f"{file}: cannot be read: No such file or directory"
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load(file.parent, {})


@pytest.mark.parametrize("content", [b"[clients", b"port = \xff", b"a = 1\na = 2", b'\xef\xbb\xbfa = "x'])
def test_file_that_is_no_toml(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load(file, {})
    assert str(caught.value).startswith(f"{file}: not TOML: ")


SOME = [f"PUSHGATE_{name}" for name in ("CLIENTS_PORT", "NODE_STOP_GRACE", "LOG_LEVEL")]


@given(st.dictionaries(st.sampled_from(SOME) | st.text().map("PUSHGATE_".__add__), st.text()))
def test_any_environment(environ: dict[str, str]) -> None:
    try:
        load(environ=environ)
    except ConfigError:
        pass


@pytest.mark.parametrize(
    "config",
    [
        BusConfig(url="nats://user:hush@one:4222,nats://user:hu/sh@two:4222"),
        BusConfig(url="tls://hush@one"),
        InboxConfig(url="nats://user:hush@one:4222"),
        TokenKeyConfig(algorithm="HS256", kid="k", secret="hush"),
        TokenKeyConfig(algorithm="HS256", public_key="-----BEGIN PRIVATE KEY-----hush"),
        TenantConfig(api_keys=[HASH], token_keys=[TokenKeyConfig(algorithm="HS256", secret="hush")]),
    ],
)
def test_no_secret_is_shown(config: BusConfig | InboxConfig | TokenKeyConfig | TenantConfig) -> None:
    whole = Config(
        bus=config if isinstance(config, BusConfig) else BusConfig(),
        inbox=config if isinstance(config, InboxConfig) else InboxConfig(),
        tenants={
            "acme": config if isinstance(config, TenantConfig) else TenantConfig(),
            "other": TenantConfig(token_keys=[config] if isinstance(config, TokenKeyConfig) else []),
        },
    )
    console = Console(width=200)
    with console.capture() as capture:
        console.print(whole)
    for shown in (repr(config), str(config), f"{config!r:}", repr(whole), pretty_repr(whole), capture.get()):
        assert "***" in shown
        assert "hush" not in shown
        assert "hu/sh" not in shown
        assert HASH not in shown


def test_what_is_shown() -> None:
    assert repr(BusConfig(url="nats://u:p@h:1")) == (
        "BusConfig(url='nats://***@h:1', nats_server='', prefix='pushgate', routing='broadcast')"
    )
    assert repr(BusConfig(url="redis+sentinel://u:p@h/it?sentinel_user=s&sentinel_password=p&ca=f")) == (
        "BusConfig(url='redis+sentinel://***@h/it?sentinel_user=***&sentinel_password=***&ca=f',"
        " nats_server='', prefix='pushgate', routing='broadcast')"
    )
    assert repr(BusConfig(url="nats://h:1,h:2")).startswith("BusConfig(url='nats://h:1,h:2'")
    key = TokenKeyConfig(algorithm="HS256", secret="hush")
    assert repr(key) == ("TokenKeyConfig(algorithm='HS256', kid='', secret='***', public_key='', public_key_file='')")
    assert repr(TenantConfig(api_keys=[HASH], read_keys=[HASH])) == (
        "TenantConfig(api_keys=['sha256:01234567***'], token_keys=[], read_keys=['sha256:01234567***'],"
        " require_exp=True, connections=0,"
        " pushes_per_second=0, max_message=0, max_batch=1000, inbox_bytes=0, inbox_messages=0, max_ttl=0)"
    )


def test_a_drain_has_to_be_a_time() -> None:
    with pytest.raises(ConfigError, match="expected `float`, got 'soon'"):
        load(environ={"PUSHGATE_NODE_DRAIN": "soon"})
