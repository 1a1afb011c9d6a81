"""Rows of results: what was measured, beside what; printed as a table and kept in the history."""

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).resolve().parent
HISTORY = HERE / "history.jsonl"

Measure = Callable[[], float]


@dataclass(frozen=True)
class Settings:
    """What the command line asks for; `work` is a directory of a real disk that is empty at the start of each set."""

    work: Path
    rounds: int
    seconds: float
    wanted: Callable[[str], bool]
    """Whether the row of a label is asked for."""
    pictures: Path = HERE
    """Where a set that draws puts its picture."""


@dataclass(frozen=True)
class Row:
    """One line of the table: our number, and those of others in the same minutes."""

    label: str
    unit: str
    ours: float
    others: dict[str, float] = field(default_factory=dict)
    """Peer -> its number."""
    higher_is_better: bool = True
    goal: float | None = None
    """What the project promises, in the row's unit."""
    goal_ratio: float | None = None
    """What the project promises as a multiple of each peer's number."""
    spread: float = 0.0
    """Largest less smallest of our rounds as a part of the median: how noisy the minutes were."""

    @property
    def is_met(self) -> bool | None:
        """Whether the goal is reached; None without one."""
        if self.goal_ratio is not None:
            return all(self.ratio(peer) >= self.goal_ratio for peer in self.others)
        if self.goal is None:
            return None
        return self.ours >= self.goal if self.higher_is_better else self.ours <= self.goal

    def ratio(self, peer: str) -> float:
        """How many times as good as the peer."""
        better, worse = self.ours, self.others[peer]
        return better / worse if self.higher_is_better else worse / better

    def plain(self) -> dict[str, object]:
        """The row for the history."""
        plain: dict[str, object] = {"label": self.label, "unit": self.unit, "odxfs": round(self.ours, 3)}
        for peer, number in self.others.items():
            plain[peer] = round(number, 3)
            plain[f"times_{peer}"] = round(self.ratio(peer), 2)
        if self.is_met is not None:
            goal = self.goal if self.goal_ratio is None else f"{self.goal_ratio} times"
            plain |= {"goal": goal, "met": self.is_met}
        if self.spread:
            plain["spread"] = round(self.spread, 2)
        return plain


def median_row(
    label: str,
    unit: str,
    samples: dict[str, list[float]],
    *,
    higher_is_better: bool = True,
    goal: float | None = None,
    goal_ratio: float | None = None,
) -> Row:
    """The medians of rounds; `samples` are by peer, ours under "odxfs"."""
    medians = {peer: statistics.median(values) for peer, values in samples.items()}
    values = samples["odxfs"]
    ours = medians.pop("odxfs")
    spread = (max(values) - min(values)) / ours if ours and len(values) > 1 else 0.0
    return Row(label, unit, ours, medians, higher_is_better, goal, goal_ratio, spread)


def show(title: str, rows: Sequence[Row]) -> None:
    """Print a set's rows as a table."""
    from rich.console import Console
    from rich.table import Table

    peers = list(dict.fromkeys(peer for row in rows for peer in row.others))
    table = Table(title=title)
    table.add_column("")
    for heading in ("odxfs", *peers):
        table.add_column(heading, justify="right")
    table.add_column("unit")
    for peer in peers:
        table.add_column(f"times {peer}", justify="right")
    table.add_column("goal", justify="right")
    table.add_column("spread", justify="right")
    for row in rows:
        table.add_row(*_cells(row, peers))
    Console(width=max(100, Console().width)).print(table)


def _cells(row: Row, peers: Iterable[str]) -> list[str]:
    there = {peer: peer in row.others for peer in peers}
    bound = "at least" if row.higher_is_better else "at most"
    goal = "" if row.goal is None else f"{bound} {row.goal:,g}"
    if row.goal_ratio is not None:
        goal = f"at least {row.goal_ratio:g} times"
    return [
        row.label,
        _number(row.ours),
        *(_number(row.others[peer]) if known else "" for peer, known in there.items()),
        row.unit,
        *(f"{row.ratio(peer):.2f}" if known else "" for peer, known in there.items()),
        goal + ("" if row.is_met is not False else " MISSED"),
        f"{row.spread:.0%}" if row.spread else "",
    ]


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def append_history(kind: str, rows: Sequence[Row], settings: Settings) -> None:
    """Keep a set's rows as one line of the history."""
    revision = subprocess.run(
        ["git", "-C", str(HERE), "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    entry = {
        "kind": kind,
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "revision": revision,
        "machine": f"{os.cpu_count()} x {platform.machine()}, Linux {platform.release()}",
        "rounds": settings.rounds,
        "load": round(os.getloadavg()[1], 1),
        "rows": [row.plain() for row in rows],
    }
    with HISTORY.open("a") as file:
        file.write(json.dumps(entry) + "\n")
