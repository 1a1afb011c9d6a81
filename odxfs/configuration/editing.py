"""One change of a file's text that leaves all the rest as it is: comments, order, blank lines."""

import os
import pathlib
import tomllib
from collections.abc import Mapping, MutableMapping, Sequence
from contextlib import suppress
from typing import Any

import tomlkit
from tomlkit.exceptions import ParseError
from tomlkit.items import InlineTable

from odxfs.configuration.kinds import Flag, Kind, Seconds, Several, Whole
from odxfs.configuration.model import SvmConfiguration
from odxfs.configuration.sections import Path, Section, insert, join, split
from odxfs.configuration.settings import NamedTables, NamedValues, Table, settings_of
from odxfs.configuration.sizes import Size
from odxfs.errors import ExitCode, UserError
from odxfs.record_file import PRIVATE, replace_durably

Assignments = Mapping[str, str]
"""Dotted key of an SVM's table -> the value as people write it, "" to take the key away."""


def add_svm(text: str, name: str, assignments: Assignments) -> str:
    """With a table for a further SVM. Raises UserError(EXISTS)."""
    if name in tomllib.loads(text).get("svm", {}):
        raise UserError(f"there is an SVM {name!r} already", ExitCode.EXISTS)
    sections = split(text)
    path = ("svm", name)
    insert(sections, _new_section(path), ("svm",))
    return set_svm(_checked(join(sections), text, path, {}), name, assignments)


def set_svm(text: str, name: str, assignments: Assignments) -> str:
    """With other values in an SVM's table. Raises UserError(NOT_FOUND)."""
    _require_svm(text, name)
    for dotted, value in assignments.items():
        path = tuple(dotted.split("."))
        wanted = _value(_kind_of(path), value) if value else None
        text = _edit(text, ("svm", name, *path), wanted)
    return text


def delete_svm(text: str, name: str) -> str:
    """Without an SVM's table and all that is in it. Raises UserError(NOT_FOUND)."""
    _require_svm(text, name)
    path = ("svm", name)
    kept = [section for section in split(text) if not section.belongs_to(path)]
    return _checked(join(kept).rstrip("\n") + "\n", text, path, None)


def replace_file(file: pathlib.Path, text: str) -> None:
    """Make `text` the content of `file`, which may be a link to it, in one step; its mode and owner stay. Raises OSError."""
    file = real_file(file)
    mode = PRIVATE
    with suppress(FileNotFoundError):
        mode = file.stat().st_mode & 0o7777
    replace_durably(file, text.encode(), mode)


def real_file(file: pathlib.Path) -> pathlib.Path:
    """Where the text is that a link leads to. Never raises."""
    return pathlib.Path(os.path.realpath(file))


def _require_svm(text: str, name: str) -> None:
    if name not in tomllib.loads(text).get("svm", {}):
        raise UserError(f"there is no SVM {name!r} in the configuration", ExitCode.NOT_FOUND)


def _new_section(path: Path) -> Section:
    table = tomlkit.table(is_super_table=False)
    return Section(path, f"[{'.'.join(tomlkit.key(part).as_string() for part in path)}]\n{table.as_string()}")


def _edit(text: str, path: Path, value: Any) -> str:  # noqa: ANN401 - whatever TOML has
    """With another value at `path`; None takes it away."""
    try:
        edited = _edit_section(text, path, value)
    except ParseError:  # what looked like a section is none
        edited = text
    return _checked(edited, text, path, value)


def _edit_section(text: str, path: Path, value: Any) -> str:  # noqa: ANN401
    """With another value in the section of its table, made if need be."""
    sections = split(text)
    section = next((each for each in sections if each.path == path[:-1]), None)
    if section is None and value is not None:
        section = _new_section(path[:-1])
        insert(sections, section, path[:2])
    if section is not None:
        section.text = _with_value(section.text, path, value)
    return join(sections)


def _with_value(text: str, path: Path, value: Any) -> str:  # noqa: ANN401
    """One section with another value; the blank lines and comments at its end stay there."""
    kept = text.rstrip("\n")
    document = tomlkit.parse(kept + "\n")
    _assign(document, path, value)
    return tomlkit.dumps(document).rstrip("\n") + text[len(kept) :]


def _checked(edited: str, text: str, path: Path, value: Any) -> str:  # noqa: ANN401
    """`edited` if it says what it should; else the whole text edited by tomlkit, which may leave a comment at a worse place."""
    wanted = tomllib.loads(text)
    _assign(wanted, path, value)
    try:
        if tomllib.loads(edited) == wanted:
            return edited
    except tomllib.TOMLDecodeError:
        pass
    document = tomlkit.parse(text)
    _assign(document, path, value)
    return tomlkit.dumps(document)


def _assign(table: MutableMapping[str, Any], path: Path, value: Any) -> None:  # noqa: ANN401
    *way, key = path
    for part in way:
        made = tomlkit.inline_table() if isinstance(table, InlineTable) else tomlkit.table()
        table = table.setdefault(part, made)
        if not isinstance(table, MutableMapping):
            raise UserError(f"{'.'.join(path)}: {part} is a value, not a table")
    if value is not None:
        table[key] = value
    elif key in table:
        del table[key]


def _kind_of(path: Sequence[str]) -> Kind | None:
    """What the value at `path` of an SVM's table may be; None where there is no such key, which reading will say."""
    model: type = SvmConfiguration
    rest = list(path)
    while rest:
        found = next((each.kind for each in settings_of(model) if each.key == rest[0]), None)
        rest = rest[1:]
        if isinstance(found, Table):
            model = found.model
        elif isinstance(found, NamedTables):
            model, rest = found.model, rest[1:]
        else:
            return None if rest or isinstance(found, NamedValues) else found
    return None


def _value(kind: Kind | None, text: str) -> Any:  # noqa: ANN401 - whatever TOML has
    """The TOML value that was meant: quotes and brackets need not be written."""
    if text[0] in "\"'[":
        return _literal(text)
    if isinstance(kind, Several):
        return [_value(kind.kind, part.strip()) for part in text.split(",") if part.strip()]
    if isinstance(kind, Flag | Whole | Seconds) or (isinstance(kind, Size) and text.isdecimal()):
        return _literal(text)
    return text


def _literal(text: str) -> Any:  # noqa: ANN401
    """`text` as TOML has it; as it is when that is no TOML, so that reading complains of it."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text
