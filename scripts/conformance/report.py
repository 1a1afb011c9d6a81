"""The tables of the guide's page on conformance, put in place of the ones that are there."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from smbtorture import Outcome

PAGE = Path(__file__).parents[2] / "odxfs" / "guide" / "conformance.md"
INDENT = "    "


def put_table(name: str, rows: Sequence[Sequence[str]], page: Path = PAGE) -> None:
    """Put `rows`, whose first begins with `name`, in place of the block of lines that begins with that word."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    table = [
        INDENT + "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    lines = page.read_text(encoding="utf-8").splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"{INDENT}{name} "))
    end = next((number for number in range(start, len(lines)) if not lines[number]), len(lines))
    page.write_text("\n".join([*lines[:start], *table, *lines[end:]]) + "\n", encoding="utf-8")


def suite_rows(outcomes: Mapping[str, Outcome], samba: Mapping[str, str]) -> list[list[str]]:
    """A row a suite, and the total: tests, passes here, passes of Samba, what else there was here."""
    tallies: dict[str, Counter[str]] = {}
    for test, theirs in sorted(samba.items()):
        tally = tallies.setdefault(suite_of(test), Counter())
        kind = outcomes[test].kind if test in outcomes else "not run"
        tally.update(["tests", f"ours {kind}", f"samba {theirs}"])
    total: Counter[str] = sum(tallies.values(), Counter())
    head = ["suite", "tests", "odxfs", "Samba 4.17", "of odxfs's others"]
    return [head, *(_row(*item) for item in tallies.items()), _row("total", total)]


def suite_of(test: str) -> str:
    return ".".join(test.split(".")[:2])


def _row(name: str, tally: Counter[str]) -> list[str]:
    others = ", ".join(
        f"{count} {key.removeprefix('ours ')}"
        for key, count in sorted(tally.items())
        if key.startswith("ours ") and key != "ours pass"
    )
    return [name, str(tally["tests"]), str(tally["ours pass"]), str(tally["samba pass"]), others]
