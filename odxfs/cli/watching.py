"""`odxfs tokens --watch`: the live tokens as they come and go, until Ctrl-C or until nobody serves the pool any more.

On a terminal a table that is drawn anew; elsewhere one line for each token that comes, is used or ends.
"""

import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from odxfs.cli.output import draw_anew, say

PERIOD_SECONDS = 0.5

SHOWN = 30
"""Tokens in the table, those used last; the line below it counts them all."""

Token = dict[str, Any]


def watch(
    read: Callable[[], list[Token] | None], columns: Sequence[str], row: Callable[[Token], Sequence[object]]
) -> None:
    """Show what `read` returns again and again; None ends it."""
    if sys.stdout.isatty():
        draw_anew(lambda: _table(read(), row), columns, PERIOD_SECONDS)
    else:
        _tell(read, row)


def _table(
    tokens: list[Token] | None, row: Callable[[Token], Sequence[object]]
) -> tuple[list[Sequence[object]], str] | None:
    if tokens is None:
        return None
    return [row(token) for token in tokens[-SHOWN:]], f"{len(tokens)} live tokens"


def _tell(read: Callable[[], list[Token] | None], row: Callable[[Token], Sequence[object]]) -> None:
    before: dict[str, Token] = {}
    while (tokens := read()) is not None:
        now = {token["label"]: token for token in tokens}
        for line in changes(before, now, row):
            say(line)
        sys.stdout.flush()
        before = now
        time.sleep(PERIOD_SECONDS)


def changes(
    before: dict[str, Token], now: dict[str, Token], row: Callable[[Token], Sequence[object]]
) -> list[str]:
    """A line for each token that came, was used or ended, by label."""
    told = [_line("ended", token, row) for label, token in before.items() if label not in now]
    for label, token in now.items():
        old = before.get(label)
        if old is None:
            told.append(_line("came", token, row))
        elif old["uses"] != token["uses"]:
            told.append(_line("used", token, row))
    return told


def _line(what: str, token: Token, row: Callable[[Token], Sequence[object]]) -> str:
    return "\t".join(str(cell) for cell in (what, *row(token)))
