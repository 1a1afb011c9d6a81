"""What a value of the file may be: how it is read, written back, and described to an editor.

A kind's `read` takes what tomllib made of the value and raises ValueError with the rest of a sentence that begins with the
key. `write` is its opposite. `schema` is the JSON Schema of what `read` takes.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

from odxfs.configuration.endpoint import Endpoint
from odxfs.errors import UserError
from odxfs.offload import OffloadPolicy

_SIZE = re.compile(r"(\d+) ?([KMGT]?)i?B?", re.IGNORECASE)
_UNITS = " KMGT"


class Kind(Protocol):
    """One kind of values."""

    def read(self, value: object) -> Any:  # noqa: ANN401 - each kind has its own
        """The value for the program. Raises ValueError."""

    def write(self, value: Any) -> Any:  # noqa: ANN401
        """The value for the file."""

    def schema(self) -> dict[str, Any]:
        """The JSON Schema of the value in the file."""


@dataclass(frozen=True, slots=True)
class Flag:
    """true or false."""

    def read(self, value: object) -> bool:
        if not isinstance(value, bool):
            raise ValueError(f"is {_shown(value)}, not true or false")
        return value

    def write(self, value: bool) -> bool:
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number from `least` to `most`."""

    least: int
    most: int

    def read(self, value: object) -> int:
        if type(value) is not int or not self.least <= value <= self.most:
            raise ValueError(f"is {_shown(value)}, not a whole number from {self.least} to {self.most}")
        return value

    def write(self, value: int) -> int:
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "integer", "minimum": self.least, "maximum": self.most}


@dataclass(frozen=True, slots=True)
class Seconds:
    """A number of seconds from `least` to `most`, with a fraction or without."""

    least: float
    most: float

    def read(self, value: object) -> float:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not self.least <= value <= self.most:  # type: ignore[operator]
            raise ValueError(
                f"is {_shown(value)}, not a number of seconds from {self.least:g} to {self.most:g}"
            )
        return float(value)  # type: ignore[arg-type]

    def write(self, value: float) -> float:
        return int(value) if value.is_integer() else value

    def schema(self) -> dict[str, Any]:
        return {"type": "number", "minimum": self.least, "maximum": self.most}


@dataclass(frozen=True, slots=True)
class Size:
    """Bytes from `least` to `most` in multiples of `step`: a whole number, or text with a unit of 1024, as in "8 MiB"."""

    least: int
    most: int
    step: int = 1

    def read(self, value: object) -> int:
        size = self._bytes(value)
        if size is None:
            raise ValueError(f'is {_shown(value)}, not a size like "8 MiB" or a number of bytes')
        if not self.least <= size <= self.most:
            raise ValueError(
                f"is {_shown(value)}, not from {format_size(self.least)} to {format_size(self.most)}"
            )
        if size % self.step:
            raise ValueError(f"is {_shown(value)}, not a multiple of {format_size(self.step)}")
        return size

    def write(self, value: int) -> int | str:
        return format_size(value)

    def schema(self) -> dict[str, Any]:
        number = {"type": "integer", "minimum": self.least, "maximum": self.most}
        return {"anyOf": [number, {"type": "string", "pattern": "^[0-9]+ ?[KMGT]?i?B?$"}]}

    @staticmethod
    def _bytes(value: object) -> int | None:
        if type(value) is int:
            return value
        found = _SIZE.fullmatch(value) if isinstance(value, str) else None
        if found is None:
            return None
        return int(found[1]) << 10 * (_UNITS.index(found[2].upper()) if found[2] else 0)


@dataclass(frozen=True, slots=True)
class Text:
    """Text that matches `pattern`; `what` says what that is."""

    pattern: str
    what: str

    def read(self, value: object) -> str:
        if not isinstance(value, str) or not re.fullmatch(self.pattern, value):
            raise ValueError(f"is {_shown(value)}, not {self.what}")
        return value

    def write(self, value: str) -> str:
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^{self.pattern}$"}


@dataclass(frozen=True, slots=True)
class Choice:
    """One of an enumeration whose values are texts."""

    enum: type[Enum]

    def read(self, value: object) -> Enum:
        try:
            return self.enum(value)
        except ValueError:
            raise ValueError(f"is {_shown(value)}, not {_one_of(self._words())}") from None

    def write(self, value: Enum) -> str:
        return str(value.value)

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "enum": self._words()}

    def _words(self) -> list[str]:
        return [member.value for member in self.enum]


@dataclass(frozen=True, slots=True)
class Folder:
    """An absolute path."""

    def read(self, value: object) -> Path:
        if not isinstance(value, str) or not value.startswith("/") or "\0" in value:
            raise ValueError(f"is {_shown(value)}, not an absolute path")
        return Path(value)

    def write(self, value: Path) -> str:
        return str(value)

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": "^/"}


@dataclass(frozen=True, slots=True)
class Parsed:
    """Text for which `parse` has a meaning, or UserError or ValueError; kept as what `parse` returns."""

    parse: Callable[[str], Any]
    what: str

    def read(self, value: object) -> Any:  # noqa: ANN401
        if not isinstance(value, str):
            raise ValueError(f"is {_shown(value)}, not {self.what}")
        try:
            return self.parse(value)
        except (UserError, ValueError) as error:
            raise ValueError(f"is wrong: {error}") from error

    def write(self, value: object) -> str:
        return str(value)

    def schema(self) -> dict[str, Any]:
        return {"type": "string"}


@dataclass(frozen=True, slots=True)
class Several:
    """A list of values of one kind, none of them twice; one value may stand without brackets."""

    kind: Kind

    def read(self, value: object) -> tuple[Any, ...]:
        values = value if isinstance(value, list) else [value]
        found = tuple(self.kind.read(each) for each in values)
        for each in found:
            if found.count(each) > 1:
                raise ValueError(f"has {_shown(self.kind.write(each))} twice")
        return found

    def write(self, value: tuple[Any, ...]) -> list[Any]:
        return [self.kind.write(each) for each in value]

    def schema(self) -> dict[str, Any]:
        one = self.kind.schema()
        return {"anyOf": [one, {"type": "array", "items": one, "uniqueItems": True}]}


def _checked_policy(text: str) -> str:
    OffloadPolicy.parse(text)
    return text


def _checked_path(text: str) -> str:
    if {".", ".."} & set(text.split("/")):
        raise ValueError(f"{text!r} is not a path from the volume's root")
    return text.strip("/")


ENDPOINT = Parsed(Endpoint.parse, '"ADDR:PORT"')
POLICY = Parsed(_checked_policy, "an offload policy")
VOLUME_PATH = Parsed(_checked_path, "a path from the volume's root")


def format_size(size: int) -> int | str:
    """`size` bytes with the largest unit that leaves a whole number; bytes as a number."""
    for power in range(len(_UNITS) - 1, 0, -1):
        unit = 1 << 10 * power
        if size and size % unit == 0:
            return f"{size // unit} {_UNITS[power]}iB"
    return size


def _shown(value: object) -> str:
    """A value as it stands in the file, or nearly so."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value}"'
    return "a table" if isinstance(value, dict) else str(value)


def _one_of(words: list[str]) -> str:
    quoted = [f'"{word}"' for word in words]
    return f"{', '.join(quoted[:-1])} or {quoted[-1]}"
