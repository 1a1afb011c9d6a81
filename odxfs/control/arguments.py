"""The arguments of a control command: one JSON object, whose values are checked when they are taken."""

from typing import Any, TypeVar

from odxfs.errors import ExitCode, UserError

T = TypeVar("T")


class Arguments:
    """What a caller gave. Each method raises UserError(USAGE) for a value that is missing or of a wrong kind."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values

    def text(self, name: str, default: str | None = None) -> str:
        """A string; without `default` it must be there."""
        return self._take(name, str, default)

    def number(self, name: str, default: int | None = None) -> int:
        """A whole number; without `default` it must be there."""
        return self._take(name, int, default)

    def flag(self, name: str) -> bool:
        """Whether a flag is set; one that is not there is not."""
        return self._take(name, bool, default=False)

    def _take(self, name: str, kind: type[T], default: T | None) -> T:
        value = self._values.get(name, default)
        if type(value) is not kind:  # not isinstance: JSON's true is no number
            raise UserError(f"argument {name!r} is missing or of a wrong kind", ExitCode.USAGE)
        return value
