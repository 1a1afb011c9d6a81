"""The settings of a table, as the annotations of its dataclass say them.

Each field of a configuration dataclass is `Annotated[type, kind, Doc(...)]`: `kind` reads it, `Doc` is what people are told.
"""

from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from typing import Any, get_type_hints

from odxfs.configuration.kinds import Kind


@dataclass(frozen=True, slots=True)
class Doc:
    """What a setting is, in one or two sentences."""

    text: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table with the settings of `model`."""

    model: type[Any]


@dataclass(frozen=True, slots=True)
class NamedTables:
    """Tables by name: `check_name` raises ValueError or UserError for a name that none may have."""

    model: type[Any]
    check_name: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class NamedValues:
    """A table of values by name."""

    kind: Kind
    check_name: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Setting:
    """One key of a table. `default` is a value for the program."""

    name: str
    kind: Kind | Table | NamedTables | NamedValues
    doc: str
    default: Any

    @property
    def key(self) -> str:
        """The name in the file."""
        return key_of(self.name)


def key_of(name: str) -> str:
    """The key in the file of the field `name`."""
    return name.replace("_", "-")


def settings_of(model: type) -> tuple[Setting, ...]:
    """The settings of a configuration dataclass, in its order."""
    hints = get_type_hints(model, include_extras=True)
    found = []
    for field in fields(model):
        kind, doc = hints[field.name].__metadata__
        default = field.default if field.default_factory is MISSING else field.default_factory()
        found.append(Setting(field.name, kind, doc.text, default))
    return tuple(found)
