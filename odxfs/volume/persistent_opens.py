"""Opens that clients of a server keep over its restart, as far as the store is concerned: a few bytes that name an inode.

What the bytes say is the server's. A record holds its inode as an open does, so that one without a name stays until the record
goes; the next owner of the pool finds record and inode again. Snapshots do not hold records.
"""

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from odxfs.errors import NotFound
from odxfs.types import InodeNumber, VolumeId
from odxfs.volume.catalog.interface import Table
from odxfs.volume.tree.inodes import Inode

if TYPE_CHECKING:
    from odxfs.volume.pool import Pool


@dataclass(frozen=True, slots=True)
class PersistentOpen:
    """One record under its identifier, a positive number below 2**63 that the server has chosen."""

    id: int
    inode: Inode
    body: bytes


class PersistentOpens:
    """The records of a pool. A change is durable with the next commit."""

    def __init__(self, pool: "Pool") -> None:
        self._pool = pool
        self._records: dict[int, PersistentOpen] = {}
        self._inodes: set[InodeNumber] = set()

    def __len__(self) -> int:
        return len(self._records)

    def __contains__(self, identifier: int) -> bool:
        return identifier in self._records

    def body_of(self, identifier: int) -> bytes | None:
        """What a record says; None when there is none."""
        record = self._records.get(identifier)
        return record.body if record is not None else None

    def list(self) -> list[PersistentOpen]:
        """Every record, in no order."""
        return list(self._records.values())

    async def load(self) -> None:
        """Read what the last owner left and hold its inodes; once, before orphans are deleted. A record without inode goes."""
        view, namespace = self._pool.view, self._pool.namespace
        for (identifier,), (number, body) in await view.range(Table.PERSISTENT_OPEN, (0,), (2**63 - 1,)):
            assert isinstance(identifier, int)
            assert isinstance(number, int)
            assert isinstance(body, bytes)
            try:
                inode = await namespace.inodes.get_nameless(InodeNumber(number))
            except NotFound:
                view.delete(Table.PERSISTENT_OPEN, (identifier,))
                continue
            if not namespace.is_usable(inode.volume):
                view.delete(Table.PERSISTENT_OPEN, (identifier,))
                continue
            self._enter(PersistentOpen(identifier, inode, body))

    def keeps(self, number: InodeNumber) -> bool:
        """Whether an inode that the last owner left is named by a record, and so not to be deleted yet."""
        return number in self._inodes

    def put(self, identifier: int, inode: Inode, body: bytes) -> None:
        """Make a record, or give it another body. The inode of one never changes."""
        if identifier in self._records:
            self._records[identifier] = PersistentOpen(identifier, inode, body)
        else:
            self._enter(PersistentOpen(identifier, inode, body))
        self._pool.view.put(Table.PERSISTENT_OPEN, (identifier,), (inode.number, body))

    async def remove(self, identifier: int) -> None:
        """The open is closed; harmless when there is no record. An inode that nobody else has is deleted with it."""
        record = self._records.pop(identifier, None)
        if record is None:
            return
        self._pool.view.delete(Table.PERSISTENT_OPEN, (identifier,))
        if all(other.inode is not record.inode for other in self._records.values()):
            self._inodes.discard(record.inode.number)
        await self._pool.namespace.release(record.inode)

    async def give_up(self, volume: VolumeId) -> None:
        """Remove the records of a volume, whose opens no server has made again; none while one is used otherwise."""
        records = [record for record in self._records.values() if record.inode.volume == volume]
        counts = Counter(record.inode.number for record in records)
        if all(record.inode.holds == counts[record.inode.number] for record in records):
            for record in records:
                await self.remove(record.id)

    def _enter(self, record: PersistentOpen) -> None:
        self._records[record.id] = record
        self._inodes.add(record.inode.number)
        self._pool.namespace.inodes.hold(record.inode)
