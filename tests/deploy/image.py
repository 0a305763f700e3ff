"""The Dockerfile without Docker: its instructions as a shell script, for overlays over this machine's own files.

What differs from a build: the base image is this machine, with its own Python, and pip is that of the tests.
"""

import json
import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PYTHON = Path(os.path.realpath(sys.executable))
BASE_PATH = f"/usr/local/bin:{PYTHON.parent}:/usr/sbin:/usr/bin:/sbin:/bin"


class Instruction(NamedTuple):
    """A line of a Dockerfile with those that continue it: `RUN`, and what stands behind it."""

    word: str
    rest: str


def read_dockerfile(file: Path) -> list[Instruction]:
    """Return its instructions."""
    lines = [line for line in file.read_text().splitlines() if line.strip() and not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [Instruction(*line.split(maxsplit=1)) for line in joined.splitlines()]


def command_of(instructions: list[Instruction], word: str) -> list[str]:
    """Return the command of an instruction's last occurrence, which has it as a JSON array."""
    rest = next(each.rest for each in reversed(instructions) if each.word == word)
    command: list[str] = json.loads(rest[rest.index("[") :])
    return command


def value_of(instructions: list[Instruction], word: str) -> str:
    """Return what stands behind an instruction's last occurrence."""
    return next(each.rest for each in reversed(instructions) if each.word == word)


def build_script(instructions: list[Instruction], context: Path, work: Path) -> str:
    """Return a script that builds the image in `work`, where stage 0 is `work/0/root`, and sets the last one's ENV.

    It is to run as root, in a mount namespace of its own.
    """
    lines = [f"mount -t tmpfs tmpfs {work}"]
    stage, workdir, names = -1, "/", {}
    for word, rest in instructions:
        root = work / str(stage) / "root"
        if word == "FROM":
            stage, workdir = stage + 1, "/"
            names[rest.partition(" AS ")[2]] = work / str(stage) / "root"
            lines += [*_base(work / str(stage)), f"export PATH={BASE_PATH}"]
        elif word == "ENV":
            lines.append(f"export {rest}")
        elif word == "WORKDIR":
            workdir = rest
            lines.append(f"mkdir -p {root}{workdir}")
        elif word == "RUN":
            lines.append(f"chroot {root} sh -ec {shlex.quote(f'cd {workdir}; {rest}')}")
        elif word == "COPY":
            lines.append(_copy(rest, root, workdir, names, context))
        elif word not in ("USER", "VOLUME", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD"):
            raise AssertionError(f"{word}: an instruction that nobody here knows")
    return "\n".join(lines)


def context_of(repository: Path, directory: Path) -> Path:
    """Lay out what .dockerignore lets through: it forbids all, and names what is allowed."""
    rules = (repository / ".dockerignore").read_text().splitlines()
    assert "*" in rules
    for rule in rules:
        if rule.startswith("!"):
            link = directory / rule.removeprefix("!")
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(repository / rule.removeprefix("!"))
    return directory


def _base(stage: Path) -> Iterator[str]:
    """Yield what makes this machine's files look like the base image, in an overlay."""
    root = stage / "root"
    yield f"mkdir -p {stage}/upper {stage}/work {root}"
    yield f"mount -t overlay overlay -o lowerdir=/,upperdir={stage}/upper,workdir={stage}/work {root}"
    yield f"mount --bind /dev {root}/dev"
    yield f"rm -rf {root}/opt/pushgate {root}/etc/pushgate {root}/var/lib/pushgate"
    yield f"printf '#!/bin/sh\\nexec {sys.executable} -m pip \"$@\"\\n' > {root}/usr/local/bin/pip"
    yield f"chmod 755 {root}/usr/local/bin/pip"
    for parent in PYTHON.parents:
        yield f"chmod o+x {root}{parent}"


def _copy(rest: str, root: Path, workdir: str, names: dict[str, Path], context: Path) -> str:
    *words, target = rest.split()
    origin = context
    if words[0].startswith("--from="):
        origin = names[words.pop(0).removeprefix("--from=")]
    into = target if target.startswith("/") else f"{workdir}/{target}"
    copies = []
    for word in words:
        one = origin / word.strip("/")
        if target.endswith("/"):
            copies.append(f"mkdir -p {root}{into}; cp -rL {one} {root}{into}")
        elif origin is context:
            copies.append(f"cp -rL {one} {root}{into}")
        else:
            copies.append(f"mkdir -p {root}{into}; cp -a {one}/. {root}{into}")
    return "; ".join(copies)
