"""From the text of a file to a Configuration, or to every mistake in it."""

import difflib
import re
import tomllib
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from odxfs.configuration.checks import find_contradictions
from odxfs.configuration.model import (
    DEFAULT_ENDPOINT,
    DEFAULT_SVM,
    Configuration,
    Profile,
    SvmConfiguration,
)
from odxfs.configuration.places import Lines, find_lines, line_of
from odxfs.configuration.problems import ConfigurationError, Problem
from odxfs.configuration.profiles import PROFILES
from odxfs.configuration.settings import NamedTables, NamedValues, Setting, Table, settings_of
from odxfs.errors import ExitCode, UserError

FILE_NAME = "odxfs.toml"
"""The configuration in a pool's directory."""

DEFAULT_VOLUME = "main"
DEFAULT_SERVER_NAME = "ODXFS"

_AT_LINE = re.compile(r" \(at line (\d+), column \d+\)$")

_Path = tuple[str, ...]


def read_configuration(file: Path) -> Configuration:
    """The configuration in `file`. Raises ConfigurationError, or UserError(CONFIG) when it cannot be read."""
    return parse_configuration(read_text(file), file)


def read_text(file: Path) -> str:
    """The text of `file`. Raises UserError(CONFIG) when it cannot be read."""
    try:
        return file.read_text(
            encoding="utf-8-sig"
        )  # with or without the mark that some editors begin a file with
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}", ExitCode.CONFIG) from error
    except UnicodeDecodeError as error:
        raise UserError(f"{file} is not UTF-8 text", ExitCode.CONFIG) from error


def parse_configuration(text: str, file: Path) -> Configuration:
    """The configuration that `text` says; `file` is where it is, or will be. Raises ConfigurationError."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError([_syntax_problem(file, str(error))]) from error
    except RecursionError as error:
        raise ConfigurationError(
            [Problem(file, None, "has arrays or tables within each other without end")]
        ) from error
    except ValueError as error:  # of a number with too many digits
        raise ConfigurationError([Problem(file, None, f"cannot be read: {error}")]) from error
    reader = _Reader(text, file)
    configuration: Configuration = reader.read_table(Configuration, table, ())
    configuration = complete(configuration, file)
    if not reader.problems:
        for path, sentence in find_contradictions(configuration):
            reader.report(path, sentence)
    if reader.problems:
        raise ConfigurationError(sorted(reader.problems, key=lambda problem: problem.line or 0))
    return configuration


def complete(configuration: Configuration, file: Path) -> Configuration:
    """Fill in the defaults that depend on where a value stands."""
    pool = configuration.pool if configuration.pool != Path() else file.absolute().parent
    svms = {name: complete_svm(name, svm) for name, svm in configuration.svm.items()}
    return replace(configuration, pool=pool, svm=svms)


def complete_svm(name: str, svm: SvmConfiguration) -> SvmConfiguration:
    """Fill in what depends on the SVM's name and volumes."""
    is_default = name == DEFAULT_SVM
    volume = svm.volumes[0] if svm.volumes else DEFAULT_VOLUME
    return replace(
        svm,
        listen=svm.listen or ((DEFAULT_ENDPOINT,) if is_default else ()),
        server_name=svm.server_name or (DEFAULT_SERVER_NAME if is_default else name.upper()),
        share={key: replace(share, volume=share.volume or volume) for key, share in svm.share.items()},
    )


def _syntax_problem(file: Path, message: str) -> Problem:
    found = _AT_LINE.search(message)
    line = int(found[1]) if found else None
    return Problem(file, line, f"is not TOML: {_AT_LINE.sub('', message)}")


class _Reader:
    """Reads tables; a mistake is noted, and the default stands in for the value so that the rest is looked at, too."""

    def __init__(self, text: str, file: Path) -> None:
        self._text = text
        self._file = file
        self._lines: Lines | None = None
        self.problems: list[Problem] = []

    def report(self, path: _Path, sentence: str) -> None:
        """Note a mistake at the table or key `path`."""
        if self._lines is None:
            self._lines = find_lines(self._text)
        self.problems.append(Problem(self._file, line_of(path, self._lines), sentence))

    def read_table(self, model: type[Any], table: Mapping[str, Any], path: _Path) -> Any:  # noqa: ANN401
        """A `model` with what the table says."""
        known = {setting.key: setting for setting in settings_of(model)}
        values: dict[str, Any] = {}
        for key, value in table.items():
            setting = known.get(key)
            if setting is None:
                self.report((*path, key), _unknown(key, path, known))
                continue
            try:
                values[setting.name] = self._read(setting, value, (*path, key))
            except ValueError as error:
                self.report((*path, key), f"{_in_table(path)}{key} {error}")
        if model is SvmConfiguration:
            values = PROFILES[values.get("profile", Profile.WINDOWS)] | values
        return model(**values)

    def _read(self, setting: Setting, value: object, path: _Path) -> Any:  # noqa: ANN401
        kind = setting.kind
        if not isinstance(kind, Table | NamedTables | NamedValues):
            return kind.read(value)
        if not isinstance(value, dict):
            raise ValueError(f"is a table: write [{'.'.join(path)}]")
        if isinstance(kind, Table):
            return self.read_table(kind.model, value, path)
        if isinstance(kind, NamedTables):
            return self._read_named(kind.check_name, value, path, lambda v, p: self._named(kind.model, v, p))
        values = kind.kind
        return self._read_named(kind.check_name, value, path, lambda v, _: values.read(v))

    def _read_named(
        self,
        check_name: Callable[[str], None],
        table: Mapping[str, object],
        path: _Path,
        read: Callable[[object, _Path], Any],
    ) -> dict[str, Any]:
        found = {}
        for name, value in table.items():
            try:
                check_name(name)
            except (ValueError, UserError) as error:
                self.report((*path, name), f"{_in_table(path)}{error}")
                continue
            try:
                found[name] = read(value, (*path, name))
            except ValueError as error:
                self.report((*path, name), f"{_in_table(path)}{name} {error}")
        return found

    def _named(self, model: type[Any], value: object, path: _Path) -> Any:  # noqa: ANN401
        if not isinstance(value, dict):
            raise ValueError(f"is a table: write [{'.'.join(path)}]")
        return self.read_table(model, value, path)


def _unknown(key: str, path: _Path, known: Collection[str]) -> str:
    near = difflib.get_close_matches(key, known, 1, 0.6)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
    return f"{_in_table(path)}there is no key {key!r}: {hint}"


def _in_table(path: _Path) -> str:
    return f"[{'.'.join(path)}] " if path else ""
