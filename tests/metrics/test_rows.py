from pushgate.metrics.catalogue import HANDSHAKES, TENANT_WINDOW
from pushgate.metrics.rows import Rows, tenant_slot


def test_a_window_is_the_nodes_and_the_seconds() -> None:
    rows = Rows(3)
    first, second = rows.row(0), rows.row(2)
    assert rows.take(first, HANDSHAKES, 3, 5, 100)
    assert not rows.take(second, HANDSHAKES, 3, 5, 100), "together they have more"
    assert rows.take(second, HANDSHAKES, 2, 5, 100), "what was refused is not taken"
    assert not rows.take(first, HANDSHAKES, 1, 5, 100)
    assert rows.take(first, HANDSHAKES, 5, 5, 101), "a new second"
    assert not rows.take(second, HANDSHAKES, 1, 5, 101), "its own count is of an older second, the other's is not"


def test_a_tenants_window_is_its_own() -> None:
    rows = Rows(2)
    row = rows.row(1)
    assert rows.take(row, tenant_slot(0, TENANT_WINDOW), 1, 1, 7)
    assert not rows.take(row, tenant_slot(0, TENANT_WINDOW), 1, 1, 7)
    assert rows.take(row, tenant_slot(1, TENANT_WINDOW), 1, 1, 7)
    assert rows.take(row, tenant_slot(1023, TENANT_WINDOW), 1, 1, 7)
