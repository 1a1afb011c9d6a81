"""What is known beforehand: Samba's result of each test, and the tests that this server does not pass, with the reason.

`samba.tsv` holds what Samba 4.17.12 answers to the same list when each test is given the share it likes best.
`known_failures.tsv` holds a line for each test that does not pass: test, kind, reason. Kinds: fail, skip, timeout and crash
(smbtorture's own), flapping (passes or not; only a crash or a time-out is new then), not-run.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from smbtorture import Outcome

HERE = Path(__file__).parent
KINDS = ("fail", "skip", "timeout", "crash", "flapping", "not-run")


@dataclass(frozen=True)
class Known:
    kind: str
    reason: str


def samba_results() -> dict[str, str]:
    """Samba's result by test: pass, fail, error, skip or not-run. Its keys are the list of tests."""
    return {row[0]: row[1] for row in _rows(HERE / "samba.tsv")}


def known_failures(path: Path = HERE / "known_failures.tsv") -> dict[str, Known]:
    """Read the file; SystemExit for a line that names no test of the list, no kind, or no reason."""
    listed, known = samba_results(), {}
    for row in _rows(path):
        if (
            len(row) != 3
            or row[0] not in listed
            or row[1] not in KINDS
            or not row[2].strip()
            or row[0] in known
        ):
            raise SystemExit(f"{path.name}: not a line of test, kind and reason, once: {row}")
        known[row[0]] = Known(row[1], row[2])
    return known


def surprises(outcomes: Mapping[str, Outcome], known: Mapping[str, Known]) -> list[str]:
    """A sentence for each outcome that is not the expected one."""
    found = ((test, outcome, known.get(test)) for test, outcome in sorted(outcomes.items()))
    return [sentence for row in found if (sentence := _surprise(*row))]


def _surprise(test: str, outcome: Outcome, known: Known | None) -> str:
    if known is None:
        return (
            ""
            if outcome.kind == "pass"
            else f"{test}: {outcome.kind}, and it is not known to: {outcome.reason}"
        )
    if known.kind == "flapping":
        return "" if outcome.kind in ("pass", "fail", "skip") else f"{test}: {outcome.kind}"
    if outcome.kind == "pass":
        return f"{test}: passes; take it out of known_failures.tsv"
    return (
        ""
        if outcome.kind == known.kind
        else f"{test}: {outcome.kind}, known as {known.kind}: {outcome.reason}"
    )


def _rows(path: Path) -> list[list[str]]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line.split("\t") for line in lines if line and not line.startswith("#")]
