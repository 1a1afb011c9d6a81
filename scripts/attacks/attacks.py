"""Does every guard against an attack have a test? Each is disabled in a copy of the tree, where one of its tests must fail.

`tests/attacks.toml` lists them: what an attacker tries, the lines that stand against it, the tests. A guard that survives is said
with its name, and so is one whose lines are not there any more: bring the table up to date then.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SECONDS_FOR_TESTS = 120
"""A guard against what never ends may make its test never end: that counts as a failure, too."""


@dataclass(frozen=True, slots=True)
class Edit:
    """Lines of a file and what stands there instead."""

    file: str
    guard: str
    instead: str


@dataclass(frozen=True, slots=True)
class Attack:
    """One row of the table."""

    section: str
    name: str
    tests: tuple[str, ...]
    edits: tuple[Edit, ...]


class Stale(Exception):
    """The table does not fit the code."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("words", nargs="*", help="only attacks whose name has one of these words in it")
    words = parser.parse_args().words
    attacks = [each for each in load() if not words or any(word in each.name for word in words)]
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory) / "tree"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".venv", ".git", "*_cache", ".hypothesis"))
        failed = [attack for attack in attacks if not _judge(attack, copy)]
    print(f"{len(attacks) - len(failed)} of {len(attacks)} guards have a test that fails without them")
    sys.exit(1 if failed else 0)


def load() -> list[Attack]:
    """The table."""
    rows = tomllib.loads((ROOT / "tests" / "attacks.toml").read_text())["attack"]
    return [_attack(row) for row in rows]


def _attack(row: dict[str, Any]) -> Attack:
    edits = tuple(Edit(**each) for each in row["without"])
    return Attack(row["section"], row["name"], tuple(row["tests"]), edits)


def _judge(attack: Attack, copy: Path) -> bool:
    try:
        with _disabled(attack, copy):
            failed = _tests_fail(attack, copy)
    except Stale as stale:
        print(f"STALE     {attack.name}: {stale}", flush=True)
        return False
    print(f"{'fails' if failed else 'SURVIVES':9} {attack.name}", flush=True)
    return failed


@contextmanager
def _disabled(attack: Attack, copy: Path) -> Iterator[None]:
    """While the guard is out of the copy. Raises Stale."""
    kept = {edit.file: (copy / edit.file).read_text() for edit in attack.edits}
    try:
        for edit in attack.edits:
            text = (copy / edit.file).read_text()
            if text.count(edit.guard) != 1:
                raise Stale(f"{edit.file} has {text.count(edit.guard)} times {edit.guard!r}")
            (copy / edit.file).write_text(text.replace(edit.guard, edit.instead))
        yield
    finally:
        for file, text in kept.items():
            (copy / file).write_text(text)


def _tests_fail(attack: Attack, copy: Path) -> bool:
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-n0", *attack.tests]
    try:
        done = subprocess.run(command, cwd=copy, capture_output=True, timeout=SECONDS_FOR_TESTS, check=False)
    except subprocess.TimeoutExpired:
        return True
    if done.returncode not in (0, 1):
        raise Stale(f"pytest says {done.stdout.decode()[-300:]}")
    return done.returncode == 1


if __name__ == "__main__":
    main()
