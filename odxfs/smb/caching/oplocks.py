"""Oplocks: what a client may cache through one open (MS-SMB2 2.2.13, 2.2.14)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from odxfs.opens import Break, Grant
from odxfs.opens.caching import ALL, READ, WRITE
from odxfs.wire.create import OplockLevel

if TYPE_CHECKING:
    from odxfs.smb.caching.breaks import Breaks
    from odxfs.smb.opens import SmbOpen

STATES = {OplockLevel.II: READ, OplockLevel.EXCLUSIVE: READ | WRITE, OplockLevel.BATCH: ALL}
"""What each level lets a client cache."""

_LEVELS = {state: level for level, state in STATES.items()}


@dataclass(frozen=True, slots=True)
class Oplock:
    """The holder of a `Grant`."""

    opened: SmbOpen
    breaks: Breaks

    def broken(self, grant: Grant, change: Break) -> None:
        """Tell the client of the open."""
        self.breaks.tell_oplock(self.opened, grant, change)

    def ended(self, grant: Grant) -> None:
        """The open is closed."""
        self.breaks.forget(grant)


def level_of(grant: Grant | None) -> OplockLevel:
    """How a response says what an open may cache."""
    if grant is None:
        return OplockLevel.NONE
    return OplockLevel.LEASE if grant.is_lease else _LEVELS.get(grant.state, OplockLevel.NONE)


def level_after(change: Break) -> OplockLevel:
    """What an oplock is broken to."""
    return _LEVELS.get(change.after, OplockLevel.NONE)
