"""FILETIME (MS-DTYP 2.3.3): 100 ns ticks since 1601-01-01 UTC, and the volume's nanoseconds since 1970.

The structures of this package carry raw FILETIMEs, because three values are no times: in a SET_INFO of
FileBasicInformation 0 means "leave as it is", -1 "stop updating it on this open" and -2 "update it again"
(MS-FSCC 2.4.7). In every answer 0 means "no such time".
"""

from typing import NewType

Filetime = NewType("Filetime", int)
"""Ticks of 100 ns since 1601; signed 64-bit on the wire."""

NONE = Filetime(0)
KEEP = Filetime(0)
STOP_UPDATES = Filetime(-1)
RESUME_UPDATES = Filetime(-2)

_EPOCH_TICKS = 116_444_736_000_000_000
_MAX_TICKS = 2**63 - 1


def from_ns(nanoseconds: int) -> Filetime:
    """The FILETIME of `nanoseconds` since 1970, rounded down; clipped to 1 .. 2**63-1 so that no time looks like "none"."""
    return Filetime(min(max(nanoseconds // 100 + _EPOCH_TICKS, 1), _MAX_TICKS))


def to_ns(filetime: Filetime) -> int:
    """Nanoseconds since 1970 of `filetime`; before 1970 it is negative. Not for the three values that are no times."""
    return (filetime - _EPOCH_TICKS) * 100
