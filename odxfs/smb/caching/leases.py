"""Leases: what a client may cache of one file through all its opens with one key (MS-SMB2 3.3.1.11, 3.3.1.12)."""

from __future__ import annotations

from collections import Counter
from dataclasses import InitVar, dataclass, field
from typing import TYPE_CHECKING
from uuid import UUID

from odxfs.opens import Break, Grant
from odxfs.smb.limits import MAX_LEASES_PER_CLIENT
from odxfs.types import InodeNumber

if TYPE_CHECKING:
    from odxfs.smb.caching.breaks import Breaks

_EPOCHS = 1 << 16


@dataclass(slots=True, eq=False)
class Lease:
    """The holder of a `Grant`. `key` is 16 bytes of the client's; `epoch` counts what happens to a version 2 lease.

    `parent_key` is the key of the client's lease on the folder of the file; None where it told none.
    """

    client_guid: UUID
    key: bytes
    is_v2: bool
    epoch: int
    parent_key: bytes | None
    table: LeaseTable
    number: InitVar[InodeNumber]
    grant: Grant = field(init=False)

    def __post_init__(self, number: InodeNumber) -> None:
        self.grant = Grant(number, True, self)

    def advance(self) -> None:
        """The state changes: the next epoch."""
        self.epoch = (self.epoch + 1) % _EPOCHS

    def broken(self, grant: Grant, change: Break) -> None:
        """Tell the client through one of the lease's opens."""
        if change.first:
            self.advance()
        self.table.breaks.tell_lease(self, change)

    def ended(self, grant: Grant) -> None:
        """The client may use the key for another file."""
        self.table.discard(self)
        self.table.breaks.forget(grant)


class LeaseTable:
    """The leases of one server by client and key."""

    def __init__(self, breaks: Breaks) -> None:
        self.breaks = breaks
        self._leases: dict[tuple[UUID, bytes], Lease] = {}
        self._counts: Counter[UUID] = Counter()

    def __len__(self) -> int:
        return len(self._leases)

    def find(self, client_guid: UUID, key: bytes) -> Lease | None:
        """The client's lease of that key."""
        return self._leases.get((client_guid, key))

    def add(
        self,
        client_guid: UUID,
        key: bytes,
        number: InodeNumber,
        *,
        is_v2: bool,
        epoch: int,
        parent_key: bytes | None,
    ) -> Lease | None:
        """A new lease on an inode, without a state; None past MAX_LEASES_PER_CLIENT. It must get an open at once."""
        if self._counts[client_guid] >= MAX_LEASES_PER_CLIENT:
            return None
        lease = Lease(client_guid, key, is_v2, epoch, parent_key, self, number)
        self._leases[(client_guid, key)] = lease
        self._counts[client_guid] += 1
        return lease

    def discard(self, lease: Lease) -> None:
        """Forget a lease that has no opens any more."""
        if self._leases.pop((lease.client_guid, lease.key), None) is not None:
            self._counts[lease.client_guid] -= 1
            if not self._counts[lease.client_guid]:
                del self._counts[lease.client_guid]
