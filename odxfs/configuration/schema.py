"""The JSON Schema of the file, for editors that complete and check TOML."""

from typing import Any

from odxfs.configuration.model import Configuration
from odxfs.configuration.settings import NamedTables, NamedValues, Setting, Table, settings_of

_DRAFT = "http://json-schema.org/draft-07/schema#"
"""The draft that the TOML servers of editors know."""


def make_schema() -> dict[str, Any]:
    """The schema of a whole file."""
    return {"$schema": _DRAFT, "title": "odxfs.toml"} | _table(Configuration)


def _table(model: type[Any]) -> dict[str, Any]:
    described = (model.__doc__ or "").strip()
    properties = {setting.key: _setting(setting) for setting in settings_of(model)}
    return {
        "type": "object",
        "description": described,
        "additionalProperties": False,
        "properties": properties,
    }


def _setting(setting: Setting) -> dict[str, Any]:
    kind = setting.kind
    if isinstance(kind, Table):
        return _table(kind.model) | {"description": setting.doc}
    if isinstance(kind, NamedTables):
        return {
            "type": "object",
            "description": setting.doc,
            "additionalProperties": _table(kind.model),
        }
    if isinstance(kind, NamedValues):
        return {
            "type": "object",
            "description": setting.doc,
            "additionalProperties": kind.kind.schema(),
        }
    found = kind.schema() | {"description": setting.doc}
    if _has_plain_default(setting):
        found["default"] = kind.write(setting.default)
    return found


def _has_plain_default(setting: Setting) -> bool:
    """Whether the default is the same everywhere; where it depends on what is around it, the description says so."""
    return setting.name not in {"pool", "listen", "server_name", "volume"}
