"""One run of smbtorture: what to start, and what its output says about each test.

smbtorture names a test by the last part of its name alone, so tests are run by group (all parts but the last): within a
group these names are unique. A run that was cut off says which test it was in; the tests after it are run one by one.
"""

import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field

from environments import Environment, Place

GROUP_SECONDS = 300
TEST_SECONDS = 75
_KILL_SECONDS = 5
_KINDS = {"success": "pass", "failure": "fail", "error": "fail", "skip": "skip"}
_LINE = re.compile(r"(test|success|failure|error|skip): (.*?)(?: \[)?$")


@dataclass(frozen=True)
class Outcome:
    """How one test ended: pass, fail, skip, timeout, crash or none (smbtorture said nothing), and why."""

    kind: str
    reason: str = ""


@dataclass
class Transcript:
    """What one process of smbtorture said, by the last part of the tests' names."""

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    cut_off: str = ""
    ending: str = ""


def group_of(test: str) -> str:
    """The suite that holds a test; a test without one is its own."""
    parts = test.split(".")
    return ".".join(parts[:-1]) if len(parts) > 2 else test


def run_group(
    where: Environment, place: Place, group: str, tests: Sequence[str], *, whole: bool
) -> dict[str, Outcome]:
    """Every test of `tests`, which are of one group, in one process; test by test from where that ends too early.

    `whole`: the group has no others.
    """
    last_parts = {test.split(".")[-1]: test for test in tests}
    command = where.command(place)
    said = _run(where, [*command, *((group,) if whole else tests)], GROUP_SECONDS)
    outcomes = {last_parts[name]: outcome for name, outcome in said.outcomes.items() if name in last_parts}
    if said.cut_off in last_parts:
        outcomes[last_parts[said.cut_off]] = Outcome(said.ending or "crash", "smbtorture ended within it")
    for test in last_parts.values():
        if test not in outcomes:
            outcomes[test] = _run_alone(where, command, test)
    return outcomes


def _run_alone(where: Environment, command: Sequence[str], test: str) -> Outcome:
    said = _run(where, [*command, test], TEST_SECONDS)
    found = said.outcomes.get(test.rsplit(".", maxsplit=1)[-1])
    if found is not None:
        return found
    return Outcome(said.ending or "none", "smbtorture said nothing about it")


def _run(where: Environment, words: Sequence[str], seconds: int) -> Transcript:
    done = subprocess.run(
        ["timeout", "-k", str(_KILL_SECONDS), str(seconds), *words],
        check=False,
        env=os.environ | where.variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    return parse(done.stdout.decode("utf-8", "replace"), ended=_ending(done.returncode))


def _ending(code: int) -> str:
    if code in (124, 137):  # what `timeout` ends with
        return "timeout"
    return "crash" if code < 0 or code > 128 else ""


def parse(text: str, ended: str) -> Transcript:
    """Read the output of one process that `ended` by itself ("") or did not (timeout, crash)."""
    said = Transcript(ending=ended)
    last = ""
    for line in text.splitlines():
        found = _LINE.match(line)
        if found is None:
            if last and line.strip() not in ("", "]") and not line.startswith(("time:", "progress:")):
                outcome = said.outcomes[last]
                said.outcomes[last] = Outcome(outcome.kind, outcome.reason or line.strip()[:300])
        elif found[1] == "test":
            said.cut_off = found[2]
        else:
            last = found[2]
            said.outcomes[last] = Outcome(_KINDS[found[1]])
            said.cut_off = ""
    return said
