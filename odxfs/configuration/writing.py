"""A Configuration as the text of a file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit import TOMLDocument
from tomlkit.items import Table as TomlTable

from odxfs.configuration.model import Configuration, SvmConfiguration
from odxfs.configuration.profiles import PROFILES
from odxfs.configuration.reading import complete, complete_svm
from odxfs.configuration.settings import NamedTables, NamedValues, Table, settings_of


def write_configuration(configuration: Configuration) -> str:
    """The whole configuration, with every default that is in force. `parse_configuration` makes the same of it again."""
    document = tomlkit.document()
    _fill(document, configuration, None)
    return tomlkit.dumps(document)


def write_differences(configuration: Configuration, file: Path) -> str:
    """What has to stand in `file` to make it this configuration: only what is not a default, and every SVM's header."""
    document = tomlkit.document()
    _fill(document, configuration, complete(Configuration(), file))
    return tomlkit.dumps(document)


def _fill(table: TOMLDocument | TomlTable, values: Any, defaults: Any) -> None:  # noqa: ANN401 - any configuration class
    """Keys first, tables behind them: what stands behind a header belongs to it. What equals `defaults`, if any, is left out."""
    named = [(setting, getattr(values, setting.name)) for setting in settings_of(type(values))]
    wanted = [
        (setting, value)
        for setting, value in named
        if defaults is None or value != getattr(defaults, setting.name)
    ]
    for setting, value in wanted:
        if not isinstance(setting.kind, Table | NamedTables | NamedValues):
            table.add(setting.key, setting.kind.write(value))
    for setting, value in wanted:
        kind = setting.kind
        if isinstance(kind, Table):
            table.add(setting.key, _table(value, defaults and getattr(defaults, setting.name)))
        elif isinstance(kind, NamedTables) and value:
            table.add(setting.key, _tables(value, with_defaults=defaults is None))
        elif isinstance(kind, NamedValues) and value:
            table.add(setting.key, _values(value, kind))


def _table(values: object, defaults: object) -> TomlTable:
    table = tomlkit.table()
    _fill(table, values, defaults)
    return table


def _tables(named: Mapping[str, Any], *, with_defaults: bool) -> TomlTable:
    tables = tomlkit.table(is_super_table=True)
    for name, values in named.items():
        tables.add(name, _table(values, None if with_defaults else _defaults_of(name, values)))
    return tables


def _values(values: Mapping[str, Any], kind: NamedValues) -> TomlTable:
    table = tomlkit.table()
    for name, value in values.items():
        table.add(name, kind.kind.write(value))
    return table


def _defaults_of(name: str, values: object) -> object:
    """What the values would be if the table were empty but for its profile."""
    if isinstance(values, SvmConfiguration):
        return complete_svm(name, SvmConfiguration(**PROFILES[values.profile]))
    return type(values)()
