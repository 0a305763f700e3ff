"""Autobahn's cases against the echo server: all but the largest messages of compression; `make autobahn` has those too.

Cases of 128 KiB are three quarters of the time, some three minutes of one core. One group has them here; the others
end with 64 KiB, which is twice the largest window and more than a length of 16 bits can say.
"""

from pathlib import Path

import pytest

from tests.wire.autobahn import run_cases

WHOLE = "12.1"
OTHERS = [f"12.{group}" for group in range(2, 6)] + [f"13.{group}" for group in range(1, 8)]
LARGEST = (10, 15, 16, 17, 18)
"""The cases of a group whose messages have 128 KiB."""


async def test_the_protocol_without_compression(tmp_path: Path) -> None:
    assert len(await run_cases(tmp_path, "-x", "12.*", "-x", "13.*")) == 517 - 12 * 18


async def test_compression(tmp_path: Path) -> None:
    assert len(await run_cases(tmp_path, "-i", f"{WHOLE}.*")) == 18


@pytest.mark.parametrize("group", OTHERS)
async def test_compression_up_to_64_kib(tmp_path: Path, group: str) -> None:
    without = [option for case in LARGEST for option in ("-x", f"{group}.{case}")]
    assert len(await run_cases(tmp_path, "-i", f"{group}.*", *without)) == 18 - len(LARGEST)
