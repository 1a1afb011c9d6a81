"""What the doors of scripts/ make of a careless command line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BESIDE = ("bench", "pictures", "guest", "work")
"""Folders of scripts/ that the doors add to their own."""


def _run(program: str, *words: str | Path) -> tuple[int, str]:
    """The exit code and stderr."""
    paths = os.pathsep.join(str(ROOT / "scripts" / name) for name in BESIDE)
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / program, *words],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    return done.returncode, done.stderr


def test_the_directory_to_work_in_need_not_be_there(tmp_path: Path) -> None:
    work = tmp_path / "not" / "there"
    words = ("--only", "engine", "--rounds", "1", "--seconds", "0.01", "--no-history", "--work", work)
    code, said = _run("bench/bench.py", *words)
    assert code == 0, said
    assert list(work.iterdir()) == []


@pytest.mark.parametrize("program", ["bench/bench.py", "load/load.py", "soak/soak.py"])
def test_what_is_no_directory_is_a_mistake_in_the_command_line(tmp_path: Path, program: str) -> None:
    (tmp_path / "file").touch()
    code, said = _run(program, "--work", tmp_path / "file" / "below")
    assert code == 2
    assert said.endswith("below cannot be made a directory: Not a directory\n")
    assert "Traceback" not in said
