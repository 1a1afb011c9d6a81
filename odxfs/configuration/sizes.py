"""Sizes in bytes, as people write them."""

import re
from dataclasses import dataclass
from typing import Any

from odxfs.configuration.kinds import shown

_SIZE = re.compile(r"(\d+) ?([KMGT]?)i?B?", re.IGNORECASE)
_UNITS = " KMGT"


@dataclass(frozen=True, slots=True)
class Size:
    """Bytes from `least` to `most` in multiples of `step`: a whole number, or text with a unit of 1024, as in "8 MiB"."""

    least: int
    most: int
    step: int = 1

    def read(self, value: object) -> int:
        size = self._bytes(value)
        if size is None:
            raise ValueError(f'is {shown(value)}, not a size like "8 MiB" or a number of bytes')
        if not self.least <= size <= self.most:
            raise ValueError(
                f"is {shown(value)}, not from {format_size(self.least)} to {format_size(self.most)}"
            )
        if size % self.step:
            raise ValueError(f"is {shown(value)}, not a multiple of {format_size(self.step)}")
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


def format_size(size: int) -> int | str:
    """`size` bytes with the largest unit that leaves a whole number; bytes as a number."""
    for power in range(len(_UNITS) - 1, 0, -1):
        unit = 1 << 10 * power
        if size and size % unit == 0:
            return f"{size // unit} {_UNITS[power]}iB"
    return size
