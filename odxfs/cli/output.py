"""How commands print: JSON for programs, a table on a terminal, plain columns elsewhere."""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

JSON_HELP = "print JSON"


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """The `--json` of every command that prints something."""
    parser.add_argument("--json", action="store_true", help=JSON_HELP)


def say(text: str) -> None:
    """One line of result."""
    sys.stdout.write(text + "\n")


def print_json(value: object) -> None:
    """One JSON document, indented for the eye."""
    say(json.dumps(value, indent=2))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Rows under `columns`: drawn on a terminal, else separated by tabs for cut(1) and awk(1)."""
    if sys.stdout.isatty():
        _draw(columns, rows)
        return
    say("\t".join(columns))
    for row in rows:
        say("\t".join(str(cell) for cell in row))


def draw_anew(
    read: Callable[[], tuple[Sequence[Sequence[object]], str] | None], columns: Sequence[str], period: float
) -> None:
    """A table on the terminal that is drawn again every `period` seconds with what `read` returns, rows and a line below them;
    None ends it."""
    from rich.console import Group
    from rich.live import Live

    with Live(auto_refresh=False) as live:
        while (found := read()) is not None:
            rows, below = found
            live.update(Group(_table(columns, rows), below), refresh=True)
            time.sleep(period)


def _draw(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    from rich.console import Console

    Console().print(_table(columns, rows))


def _table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> "Table":
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column)
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    return table


def format_bytes(count: int) -> str:
    """`count` bytes for a reader: 1.5 MiB."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(value) < 1024:
            return f"{count} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"
