"""Where in a TOML text a table or a key stands. tomllib does not say."""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence

_HEADER = re.compile(r"\s*\[([^\[\]]+)\]\s*(?:#.*)?")

_OF_SEVERAL_LINES = {'"' * 3, "'" * 3}

_DEEPEST = 8
"""Parts of the longest path that is asked for, and some more."""

Lines = Mapping[tuple[str, ...], int]
"""Path of a table or key -> the line, from 1 on, on which it first stands."""


def find_lines(text: str) -> Lines:
    """Where all tables and keys stand: headers and dotted keys."""
    lines: dict[tuple[str, ...], int] = {}
    for number, path in _paths(text):
        for length in range(1, min(len(path), _DEEPEST) + 1):
            lines.setdefault(path[:length], number)
    return lines


def line_of(path: Sequence[str], lines: Lines) -> int | None:
    """The line of `path`; what stands inside an inline table is found at the line of that. None when it cannot be told."""
    ways = (tuple(path[:length]) for length in range(len(path), 0, -1))
    return next((lines[way] for way in ways if way in lines), None)


def header_of(line: str) -> tuple[str, ...]:
    """The path of the table whose header the line is; empty when it is none."""
    found = _HEADER.fullmatch(line.rstrip())
    return _keys(found[1]) if found else ()


def _paths(text: str) -> Iterator[tuple[int, tuple[str, ...]]]:
    table: tuple[str, ...] = ()
    quotes = ""
    for number, line in enumerate(text.split("\n"), 1):  # other ends of lines, as U+2028, are none of TOML's
        if quotes:
            quotes = "" if quotes in line else quotes
            continue
        header = header_of(line)
        if header:
            table = header
            yield number, table
            continue
        key, assignment, value = line.partition("=")
        if assignment and key.strip() and "#" not in key:
            yield number, (*table, *_keys(key.strip()))
            quotes = _left_open(value.strip())


def _left_open(value: str) -> str:
    """The quotes of a text of several lines that begins here; what is inside is no key and no header."""
    quotes = value[:3]
    return quotes if quotes in _OF_SEVERAL_LINES and quotes not in value[3:] else ""


def _keys(dotted: str) -> tuple[str, ...]:
    """The parts of a dotted key, quoted or not; none when it is no key after all."""
    try:
        found: object = tomllib.loads(f"{dotted} = 0")
    except tomllib.TOMLDecodeError:
        return ()
    keys = []
    while isinstance(found, dict):
        ((key, found),) = found.items()
        keys.append(key)
    return tuple(keys)
