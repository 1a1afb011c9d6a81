"""The answer of one query, and how much of it a client must have room for."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Information:
    """A packed structure. `fixed_bytes` is its fixed part: less room than that is INFO_LENGTH_MISMATCH.

    `cut` makes what there is room for, in bytes, of one that cannot end anywhere.
    """

    data: bytes
    fixed_bytes: int
    cut: Callable[[int], bytes] | None = None

    def within(self, room: int) -> bytes:
        """As much of it as there is room for, in bytes."""
        return self.data[:room] if self.cut is None else self.cut(room)


def fixed(data: bytes) -> Information:
    """A structure without a variable part."""
    return Information(data, len(data))
