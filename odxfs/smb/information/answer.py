"""The answer of one query, and how much of it a client must have room for."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Information:
    """A packed structure. `fixed_bytes` is its fixed part: less room than that is INFO_LENGTH_MISMATCH."""

    data: bytes
    fixed_bytes: int


def fixed(data: bytes) -> Information:
    """A structure without a variable part."""
    return Information(data, len(data))
