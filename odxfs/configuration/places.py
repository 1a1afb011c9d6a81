"""Where in a TOML text a table or a key stands. tomllib does not say."""

import re
import tomllib
from collections.abc import Iterator, Sequence

_HEADER = re.compile(r"\s*\[([^\[\]]+)\]\s*(?:#.*)?")
_ASSIGNMENT = re.compile(r"\s*([^#=]+?)\s*=")


def find_line(text: str, path: Sequence[str]) -> int | None:
    """The line, from 1 on, on which the table or key `path` first stands; None when it cannot be told.

    Knows headers and dotted keys; what stands inside an inline table is found at the line of that.
    """
    wanted = tuple(path)
    for number, found in _paths(text):
        if found[: len(wanted)] == wanted:
            return number
    return find_line(text, wanted[:-1]) if len(wanted) > 1 else None


def header_of(line: str) -> tuple[str, ...]:
    """The path of the table whose header the line is; empty when it is none."""
    found = _HEADER.fullmatch(line.rstrip())
    return _keys(found[1]) if found else ()


def _paths(text: str) -> Iterator[tuple[int, tuple[str, ...]]]:
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), 1):
        header = header_of(line)
        if header:
            table = header
            yield number, table
            continue
        assignment = _ASSIGNMENT.match(line)
        if assignment:
            yield number, (*table, *_keys(assignment[1]))


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
