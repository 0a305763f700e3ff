"""What machines of the tests' own making can hold: each a directory with /proc and /sys in it."""

import shutil
from pathlib import Path

import pytest

from pushgate.doctor import kernel
from pushgate.doctor.examine import MACHINE, examine_machine, find_narrowest
from pushgate.doctor.finding import Finding, Plan

PLAN = Plan(workers=2, wanted=10_000)
FILES = {
    "proc/self/limits": "Limit Soft Hard Units\nMax open files            1024     20000     files     \n",
    "proc/77/limits": "Max open files            6000            6000            files     \n",
    "proc/sys/fs/nr_open": "1048576\n",
    "proc/sys/fs/file-nr": "5000\t0\t105000\n",
    "proc/sys/net/core/somaxconn": "4096\n",
    "proc/sys/net/ipv4/ip_local_port_range": "32768\t60999\n",
    "proc/sys/net/ipv4/tcp_mem": "10000\t20000\t30000\n",
    "proc/net/sockstat": "sockets: used 39\nTCP: inuse 11 orphan 0 tw 364 alloc 16 mem 444\nUDP: inuse 0 mem 7\n",
    "proc/sys/net/netfilter/nf_conntrack_max": "262144\n",
    "proc/sys/net/netfilter/nf_conntrack_count": "2144\n",
    "proc/meminfo": "MemTotal: 2097152 kB\nMemAvailable: 1048576 kB\n",
    "proc/self/cgroup": "0::/\n",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A machine that holds 10,000 connections."""
    for name, text in FILES.items():
        write(tmp_path, name, text)
    return tmp_path


def write(root: Path, name: str, text: str) -> None:
    file = root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def find(root: Path, check: str, plan: Plan = PLAN) -> Finding:
    return MACHINE[check](root, plan)


def test_a_machine_that_holds_them(root: Path) -> None:
    findings = list(examine_machine(PLAN, root, root))
    assert {finding.check: finding.connections for finding in findings if finding.connections is not None} == {
        "open files": 38_000,
        "nr_open": 2_095_152,
        "file-max": 100_000,
        "conntrack": 260_000,
        "memory": (1024 - 3 * 64) * 256,
    }
    assert [finding.check for finding in findings][-3:] == ["clock", "disk sync", "disk room"]
    bounds = [finding for finding in findings if finding.check in MACHINE]
    assert [(finding.check, finding.mend) for finding in bounds if finding.state != "ok"] == []
    narrowest = find_narrowest(findings)
    assert narrowest is not None
    assert narrowest.check == "open files"


@pytest.mark.parametrize(
    ("check", "name", "text", "holds", "mend"),
    [
        ("open files", "proc/self/limits", "Max open files 1024 4096 files\n", 6192, "LimitNOFILE=8192 under"),
        ("nr_open", "proc/sys/fs/nr_open", "4000\n", 6000, "fs.nr_open = 8192"),
        ("file-max", "proc/sys/fs/file-nr", "5000 0 9000\n", 4000, "fs.file-max = 32768"),
        ("conntrack", "proc/sys/net/netfilter/nf_conntrack_max", "8192\n", 6048, "nf_conntrack_max = 32768"),
        ("memory", "proc/meminfo", "MemTotal: 409600 kB\nMemAvailable: 204800 kB\n", 2048, "at least 432 MiB"),
        ("memory", "proc/meminfo", "MemTotal: 409600 kB\nMemAvailable: 4096 kB\n", 0, "at least 628 MiB"),
    ],
)
def test_what_is_too_little_is_wrong_and_the_line_mends_it(
    root: Path, check: str, name: str, text: str, holds: int, mend: str
) -> None:
    write(root, name, text)
    finding = find(root, check)
    assert (finding.state, finding.connections) == ("wrong", holds)
    assert mend in finding.mend


def test_what_was_mended_by_its_line_is_right(root: Path) -> None:
    many = PLAN._replace(wanted=1_000_000)
    write(root, "proc/self/limits", "Max open files 1024 524288 files\n")
    assert find(root, "open files", many).state == "ok"
    assert "LimitNOFILE=524288 " in find(root, "open files", many._replace(pid=77)).mend
    needed = {"fs.file-max": "file-max", "net.netfilter.nf_conntrack_max": "conntrack"}
    for name, check in needed.items():
        mend = find(root, check, many).mend
        value = mend.partition(f"{name} = ")[2].partition("'")[0]
        assert mend == f"echo '{name} = {value}' >>{kernel.SETTINGS} && sysctl -p {kernel.SETTINGS}"
        target = "proc/sys/fs/file-nr" if check == "file-max" else f"proc/sys/{name.replace('.', '/')}"
        write(root, target, f"5000 0 {value}" if check == "file-max" else value)
        assert find(root, check, many).state == "ok", check


def test_the_node_that_runs_has_its_own_limit_and_its_connections_are_counted(root: Path) -> None:
    running = PLAN._replace(pid=77, held=9000)
    finding = find(root, "open files", running)
    assert (finding.state, finding.connections) == ("ok", 10_000)
    assert "of the node that runs" in finding.says
    assert find(root, "file-max", running).connections == 109_000
    assert find(root, "conntrack", running).connections == 269_000
    assert find(root, "memory", running).connections == 1024 * 256 + 9000, "its processes are there already"


def test_tls_takes_more(root: Path) -> None:
    tls = PLAN._replace(tls=True)
    assert find(root, "open files", tls).connections == 12_666
    assert find(root, "file-max", tls).connections == 33_333
    assert find(root, "memory", tls).connections == (1024 - 3 * 64) * 1024 // 22


def test_unlimited_files_are_bound_by_nr_open(root: Path) -> None:
    write(root, "proc/self/limits", "Max open files unlimited unlimited files\n")
    assert find(root, "open files").connections == find(root, "nr_open").connections


def test_what_does_not_bound_connections_warns(root: Path) -> None:
    write(root, "proc/sys/net/core/somaxconn", "128\n")
    backlog = find(root, "backlog")
    assert (backlog.state, backlog.connections) == ("warning", None)
    assert "net.core.somaxconn = 65535" in backlog.mend
    write(root, "proc/sys/net/core/somaxconn", "65535\n")
    assert find(root, "backlog", PLAN._replace(backlog=100)).mend == "clients.backlog = 65535"
    mends = {"port range": "ip_local_port_range = 1024 65535", "tcp_mem": "tcp_mem = 37833 50444 75666"}
    for check, name in mends.items():
        finding = find(root, check, PLAN._replace(wanted=50_000))
        assert (finding.state, finding.connections) == ("warning", None)
        assert name in finding.mend


def test_a_count_of_pages_below_zero_is_none(root: Path) -> None:
    write(root, "proc/net/sockstat", "TCP: inuse 1 orphan 0 tw 0 alloc 1 mem -3\n")
    assert find(root, "tcp_mem").says.startswith("0 of 30,000 pages")


def test_a_machine_without_conntrack(root: Path) -> None:
    shutil.rmtree(root / "proc/sys/net/netfilter")
    finding = find(root, "conntrack")
    assert (finding.state, finding.connections) == ("ok", None)


def test_what_cannot_be_read_is_a_warning_and_the_rest_is_told(root: Path) -> None:
    (root / "proc/sys/fs/nr_open").unlink()
    write(root, "proc/sys/fs/file-nr", "what?\n")
    findings = {finding.check: finding for finding in examine_machine(PLAN, root, root)}
    for check in ("nr_open", "file-max"):
        assert findings[check].state == "warning"
        assert findings[check].says.startswith("cannot be told: ")
    assert findings["open files"].state == "ok"
    assert find_narrowest([findings["nr_open"]]) is None


@pytest.mark.alone
def test_this_machine(tmp_path: Path) -> None:
    findings = {finding.check: finding for finding in examine_machine(Plan(1, 1), tmp_path)}
    for check in ("open files", "nr_open", "file-max", "backlog", "memory", "clock", "disk sync", "disk room"):
        assert not findings[check].says.startswith("cannot be told"), findings[check]
