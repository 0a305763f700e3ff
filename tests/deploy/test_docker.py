"""The Dockerfile: judged by hadolint, and built and started as far as that goes without Docker."""

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.deploy.image import build_script, command_of, context_of, read_dockerfile, value_of
from tests.deploy.tools import run_tool
from tests.rig.network import outside

REPOSITORY = Path(__file__).parents[2]
DOCKERFILE = REPOSITORY / "deploy" / "docker" / "Dockerfile"

CONFIG = """
[tenants.acme]
api_keys = ["sha256:0000000000000000000000000000000000000000000000000000000000000000"]
"""

START = """
cp {config} {root}$PUSHGATE_CONFIG
mount -t tmpfs -o mode=700,uid={user},gid={user} tmpfs {root}{volume}
mount -o remount,ro {root}
ip link set lo up
within() {{
  exec chroot {root} setpriv --reuid {user} --regid {user} --clear-groups --no-new-privs --bounding-set=-all "$@"
}}
healthy() {{ (within {healthcheck}) 2>/dev/null; }}

if healthy; then echo "healthy before the start"; exit 1; fi
export -f within
unshare --pid --fork --kill-child bash -c 'mount -t proc proc {root}/proc; within {command}' &
left=100
until healthy; do left=$((left - 1)); test $left -gt 0; sleep 0.1; done
node=$(cat /proc/$!/task/$!/children)
echo "user $(stat -c %u /proc/$node) has made" $(ls {root}{volume})
kill -s {signal} $node
wait $!
echo "it ended well"
"""
"""In the image, read-only but for its volume: the node has no privileges, and is process 1."""


def test_hadolint_finds_no_fault() -> None:
    done = run_tool("hadolint", DOCKERFILE)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts overlays")
def test_a_node_in_the_image_lives_without_privileges(tmp_path: Path) -> None:
    image, context, config = tmp_path / "image", tmp_path / "context", tmp_path / "pushgate.toml"
    image.mkdir()
    context.mkdir()
    config.write_text(CONFIG)
    instructions = read_dockerfile(DOCKERFILE)
    build = build_script(instructions, context_of(REPOSITORY, context), image)
    start = START.format(
        root=image / "1" / "root",
        config=config,
        user=value_of(instructions, "USER").partition(":")[0],
        volume=value_of(instructions, "VOLUME"),
        signal=value_of(instructions, "STOPSIGNAL"),
        healthcheck=shlex.join(command_of(instructions, "HEALTHCHECK")),
        command=shlex.join(command_of(instructions, "ENTRYPOINT") + command_of(instructions, "CMD")),
    )
    (tmp_path / "start").write_text(start)
    build += f"\nmkdir -p {image}/1/root/etc/pushgate\nunshare --net bash -e {tmp_path}/start\n"
    (tmp_path / "build").write_text(build)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PUSHGATE_", "PYTHON"))}
    done = subprocess.run(
        [*outside(), "unshare", "--mount", "bash", "-e", tmp_path / "build"],
        check=False,
        env=kept,
        capture_output=True,
        text=True,
        timeout=180,
    )
    said = done.stdout.splitlines()[-2:]
    expected = ["user 10001 has made nats node.lock node.sock", "it ended well"]
    assert (done.returncode, said) == (0, expected), done.stdout + done.stderr
