"""All that is cached of the files of an open table: granting (MS-FSA 2.1.5.18) and contending (2.1.4.12)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from odxfs.opens.caching import HANDLE, READ, WRITE, Grant, Holder, Use, is_unnoticed

if TYPE_CHECKING:
    from odxfs.opens.table import OpenEntry
    from odxfs.types import InodeNumber


class Grants:
    """Grants by inode number. `by_number` keeps none without opens or without a state: it is empty where nobody caches."""

    def __init__(self) -> None:
        self.by_number: dict[InodeNumber, dict[Grant, None]] = {}

    def __len__(self) -> int:
        return sum(map(len, self.by_number.values()))

    def of(self, number: InodeNumber) -> Iterable[Grant]:
        """The grants of an inode; safe against changes while it is walked."""
        return tuple(self.by_number.get(number, ()))

    def oplock(
        self,
        entry: OpenEntry,
        wanted: int,
        others: Iterable[OpenEntry],
        holder: Holder,
        *,
        locked: bool = False,
    ) -> Grant | None:
        """Give `entry` an oplock: `wanted`, or READ where others have the file open, or none.

        `others` are the other opens of the file, `locked` says that it has byte-range locks.
        """
        held = self.of(entry.number)
        if wanted & WRITE and (held or any(not is_unnoticed(other.access) for other in others)):
            wanted = READ
        if any(grant.state & (WRITE | HANDLE) for grant in held) or (locked and not wanted & WRITE):
            wanted = 0
        if not wanted:
            return None
        grant = Grant(entry.number, False, holder, wanted)
        self._join(grant, entry)
        return grant

    def lease(
        self,
        entry: OpenEntry,
        grant: Grant,
        wanted: int,
        others: Iterable[OpenEntry],
        *,
        locked: bool = False,
    ) -> None:
        """Make `entry` one of a lease's opens: the first gives it what it may have of `wanted`, later ones all or nothing."""
        state = self._leasable(grant, wanted, others, locked=locked)
        if not grant.entries or (
            state == wanted and state & grant.state == grant.state and not grant.breaking
        ):
            grant.state = state
        self._join(grant, entry)

    def _leasable(self, grant: Grant, wanted: int, others: Iterable[OpenEntry], *, locked: bool) -> int:
        held = [other for other in self.of(grant.number) if other is not grant]
        if held or any(other.grant is not grant and not is_unnoticed(other.access) for other in others):
            wanted &= ~WRITE
        if any(other.is_oplock for other in held):
            wanted &= ~HANDLE
        if any(other.state & WRITE for other in held) or (locked and not wanted & WRITE):
            wanted = 0
        return wanted if wanted & READ else 0

    def _join(self, grant: Grant, entry: OpenEntry) -> None:
        entry.grant = grant
        grant.entries[entry] = None
        self._keep(grant)

    def _keep(self, grant: Grant) -> None:
        if grant.state and grant.entries:
            self.by_number.setdefault(grant.number, {})[grant] = None
        else:
            self._forget(grant)

    def _forget(self, grant: Grant) -> None:
        held = self.by_number.get(grant.number)
        if held is not None:
            held.pop(grant, None)
            if not held:
                del self.by_number[grant.number]

    def contend(
        self, number: InodeNumber, use: Use, own: Grant | None = None, *, access: int | None = None
    ) -> list[Grant]:
        """Tell whose caching ends with `use` of the inode; those that the user has to wait for, then it asks again.

        `own` is the user's grant. Its lease is not broken; its level II oplock is when it changes the file. `access` is that
        of an open.
        """
        held = self.by_number.get(number)
        if held is None or (len(held) == 1 and own in held and (own.is_lease or own.state & WRITE)):
            return []  # nobody else caches: every read and write of a client that does comes by here
        waited_for = []
        for grant in tuple(held):
            if grant is own and (grant.is_lease or use is not Use.CHANGE or grant.state & WRITE):
                continue
            if access is not None and is_unnoticed(access, grant):
                continue
            if grant.contend(use):
                waited_for.append(grant)
            self._keep(grant)
        return waited_for

    def acknowledge(self, grant: Grant, state: int) -> None:
        """As `Grant.acknowledge`."""
        try:
            grant.acknowledge(state)
        finally:
            self._keep(grant)

    def expire(self, grant: Grant) -> None:
        """As `Grant.expire`."""
        grant.expire()
        self._keep(grant)

    def leave(self, entry: OpenEntry) -> None:
        """An open ends; the last one of a grant ends that."""
        grant = entry.grant
        if grant is None:
            return
        grant.entries.pop(entry, None)
        if not grant.entries:
            self._forget(grant)
            grant.end()
