"""What a value of the file may be: how it is read, written back, and described to an editor.

A kind's `read` takes what tomllib made of the value and raises ValueError with the rest of a sentence that begins with the
key. `write` is its opposite. `schema` is the JSON Schema of what `read` takes.
"""

from dataclasses import dataclass
from typing import Any, Protocol


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
            raise ValueError(f"is {shown(value)}, not true or false")
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
            raise ValueError(f"is {shown(value)}, not a whole number from {self.least} to {self.most}")
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
                f"is {shown(value)}, not a number of seconds from {self.least:g} to {self.most:g}"
            )
        return float(value)  # type: ignore[arg-type]

    def write(self, value: float) -> float:
        return int(value) if value.is_integer() else value

    def schema(self) -> dict[str, Any]:
        return {"type": "number", "minimum": self.least, "maximum": self.most}


@dataclass(frozen=True, slots=True)
class Several:
    """A list of values of one kind, none of them twice; one value may stand without brackets."""

    kind: Kind

    def read(self, value: object) -> tuple[Any, ...]:
        values = value if isinstance(value, list) else [value]
        found = tuple(self.kind.read(each) for each in values)
        for each in found:
            if found.count(each) > 1:
                raise ValueError(f"has {shown(self.kind.write(each))} twice")
        return found

    def write(self, value: tuple[Any, ...]) -> list[Any]:
        return [self.kind.write(each) for each in value]

    def schema(self) -> dict[str, Any]:
        one = self.kind.schema()
        return {"anyOf": [one, {"type": "array", "items": one, "uniqueItems": True}]}


def shown(value: object) -> str:
    """A value as it stands in the file, or nearly so."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value}"'
    return "a table" if isinstance(value, dict) else str(value)
