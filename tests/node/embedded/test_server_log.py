from pathlib import Path

import pytest

from pushgate.node.embedded.server_log import STRANGER, last_words, route_trouble

DIAL = "[7] 2026/11/25 05:42:14.496520 [ERR] Error trying to connect to route (attempt 7): dial tcp 10.0.0.3:1: refused"
REFUSED = "[7] 2026/11/25 05:42:14.496520 [ERR] 10.0.0.2:6222 - rid:108 - Route Error 'Authorization Violation'"
REFUSES = '[7] 2026/11/25 05:42:14.578107 [ERR] 10.0.0.2:59882 - rid:92 - authentication error - User "pushgate"'
TWIN = '[7] 2026/11/25 05:42:14.578107 [ERR] 10.0.0.2:59882 - rid:92 - Remote server has a duplicate name: "a"'
TLS = "[7] 2026/11/25 05:42:14.578107 [ERR] 10.0.0.2:59882 - rid:92 - TLS route handshake error: bad certificate"
OTHER = "[7] 2026/11/25 05:42:14.578107 [ERR] 127.0.0.1:5 - cid:9 - read error"


@pytest.mark.parametrize(
    ("lines", "trouble"),
    [
        ([], ""),
        ([OTHER, "Route Error"], ""),
        ([DIAL], "Error trying to connect to route (attempt 7): dial tcp 10.0.0.3:1: refused"),
        ([REFUSED, DIAL, OTHER], STRANGER),
        ([REFUSED, REFUSES], STRANGER),
        ([TLS], "TLS route handshake error: bad certificate"),
        ([TWIN], 'Remote server has a duplicate name: "a"'),
    ],
)
def test_why_others_are_not_there(tmp_path: Path, lines: list[str], trouble: str) -> None:
    (tmp_path / "nats.log").write_text("x" * 10_000 + "\n" + "\n".join(lines))
    assert route_trouble(tmp_path) == trouble


def test_its_last_words(tmp_path: Path) -> None:
    assert last_words(tmp_path) == "(no log)"
    assert route_trouble(tmp_path) == ""
    (tmp_path / "nats.log").write_text("\n".join(map(str, range(9))))
    assert last_words(tmp_path) == "4\n5\n6\n7\n8"
