"""How commands print: JSON for programs, a table on a terminal, plain columns elsewhere."""

import argparse
import json
import sys
from collections.abc import Sequence

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


def _draw(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column)
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    Console().print(table)


def format_bytes(count: int) -> str:
    """`count` bytes for a reader: 1.5 MiB."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(value) < 1024:
            return f"{count} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"
