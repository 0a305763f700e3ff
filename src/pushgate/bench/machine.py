"""What the whole machine uses, as /proc tells: memory that is not available, and what the kernel keeps for sockets."""

from pathlib import Path

_PAGE = 4096


def used_memory(proc: Path = Path("/proc")) -> int:
    """Return the bytes in use: all that would not be given back for the asking."""
    lines = (line.split() for line in (proc / "meminfo").read_text().splitlines())
    kib = {line[0].rstrip(":"): int(line[1]) for line in lines}
    return (kib["MemTotal"] - kib["MemAvailable"]) * 1024


def sockets(proc: Path = Path("/proc")) -> dict[str, int]:
    """Return what `ss -s` tells of TCP: sockets in use, both ends of those that are local, and the bytes in buffers."""
    for line in (proc / "net/sockstat").read_text().splitlines():
        if line.startswith("TCP:"):
            words = line.split()[1:]
            values = dict(zip(words[::2], map(int, words[1::2]), strict=True))
            return {
                "tcp_in_use": values["inuse"],
                "orphaned": values["orphan"],
                "time_wait": values["tw"],
                "buffer_bytes": values["mem"] * _PAGE,
            }
    return {}
