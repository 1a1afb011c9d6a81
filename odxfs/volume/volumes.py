"""The volumes of a pool: making one, making one out of a snapshot, deleting one.

A clone has the inodes of the snapshot it was made from, under the numbers that they have with its own number in front, and
holds the same leaves: no data moves, and a file costs a few rows. It is made in parts, each of which may be committed; until
the last one its row says that it is not all there, and the next owner of the pool deletes it.
"""

from typing import TYPE_CHECKING

import trio

from odxfs.errors import AlreadyExists, InvalidArgument, NotEmpty, SharingViolation
from odxfs.types import BLOCK_BYTES, InodeNumber, VolumeId
from odxfs.volume.catalog.interface import (
    PAST,
    Key,
    Row,
    Table,
    inode_in,
    inodes_of,
    successor,
)
from odxfs.volume.catalog.past import PastView, SeenView
from odxfs.volume.extents import unpack_page
from odxfs.volume.tree.inodes import Inode
from odxfs.volume.tree.names import check_name, encode_name
from odxfs.volume.tree.namespace import VolumeRecord, new_volume_rows
from odxfs.volume.volume_deletion import VolumeDeletion

if TYPE_CHECKING:
    from odxfs.volume.pool import Pool

_ROWS = 256
"""Rows copied before other tasks get their turn."""

_ROWS_PER_COMMIT = 100_000
"""Rows that wait in memory for a commit, at most."""

MAX_QUOTA_BYTES = 1 << 62
"""A column holds the number of blocks; nothing is as large as this."""

USABLE, UNFINISHED = 0, 1
"""States of a row of Table.VOLUME."""


class Volumes:
    """What is done with whole volumes. Names are those of directory entries."""

    def __init__(self, pool: "Pool") -> None:
        self._pool = pool
        self.deletion = VolumeDeletion(pool)

    async def load(self) -> None:
        """Go on deleting what the last owner was deleting, or had not made to the end."""
        for record in self._pool.namespace.volumes:
            if record.state == UNFINISHED:
                self.deletion.enqueue(record.id)

    async def create(self, name: str) -> VolumeRecord:
        """Make an empty volume, durable on return. Raises AlreadyExists, InvalidArgument, NameTooLong, ReadOnly, NoSpace."""
        record = await self._new(name)
        rows = new_volume_rows(record.id, name, record.root, record.created_ns)[Table.INODE]
        for key, row in rows.items():
            assert row is not None
            self._pool.view.put(Table.INODE, key, row)
        record.inodes, record.state = 1, USABLE
        self._pool.namespace.add_volume(record)
        await self._pool.commit()
        return record

    async def clone(self, name: str, volume: str, snapshot: str) -> VolumeRecord:
        """Make a volume that is what another was at a snapshot, and can be changed; durable on return.

        Costs its names and inodes, not its data. Raises NotFound, Stale when the snapshot is deleted meanwhile, and what
        `create` raises.
        """
        source = self._pool.snapshots.find(volume, snapshot)
        tree = self._pool.snapshots.tree(source)  # told when the snapshot is deleted
        assert isinstance(tree.view, SeenView)
        record = await self._new(name)
        record.root = inode_in(record.id, self._pool.namespace.record_of(volume).root)
        self._pool.namespace.add_volume(record)
        try:
            await _Copy(self._pool, tree.view.past, record, source.volume).run()
        except BaseException:
            self.deletion.enqueue(record.id)
            raise
        record.state = USABLE
        self._pool.namespace.mark_volume(record)
        await self._pool.commit()
        return record

    async def delete(self, name: str) -> None:
        """Delete a volume that nobody uses, with all that is in it; durable on return, what it held comes free after that.

        Raises NotFound, NotEmpty while it has snapshots, SharingViolation while inodes are held, InvalidArgument for the
        pool's last volume.
        """
        pool = self._pool
        pool.check_writable()
        await pool.persistent_opens.give_up(self._deletable(name).id)
        record = self._deletable(name)
        if pool.namespace.inodes.are_held(record.id):
            raise SharingViolation(f"volume {name} is in use")
        pool.namespace.inodes.close(record.id)
        pool.windows.collect_maps(record.id)
        record.state = UNFINISHED
        pool.namespace.mark_volume(record)
        self.deletion.enqueue(record.id)
        await pool.commit()

    def _deletable(self, name: str) -> VolumeRecord:
        record = self._pool.namespace.record_of(name)
        if self._pool.snapshots.has_any(record):
            raise NotEmpty(f"volume {name} has snapshots")
        if len(self._pool.namespace.volume_names) == 1:
            raise InvalidArgument(f"{name} is the pool's last volume")
        return record

    async def set_quota(self, name: str, size: int) -> VolumeRecord:
        """Let the files of a volume allocate `size` bytes, rounded up to blocks, or what they like (0); durable on return.

        Below what is allocated already it only refuses growth. Raises NotFound, InvalidArgument, ReadOnly, NoSpace.
        """
        self._pool.check_writable()
        if not 0 <= size <= MAX_QUOTA_BYTES:
            raise InvalidArgument(f"a quota of {size} bytes")
        record = self._pool.namespace.record_of(name)
        record.quota_blocks = -(-size // BLOCK_BYTES)
        self._pool.windows.quotas.set(record.id, record.quota_blocks)
        self._pool.namespace.mark_volume(record)
        await self._pool.commit()
        return record

    async def _new(self, name: str) -> VolumeRecord:
        self._pool.check_writable()
        if not name.isprintable():
            raise InvalidArgument(f"{name!r} cannot be the name of a volume")
        check_name(encode_name(name))
        await self._pool.wait_for_room()
        if name in {record.name for record in self._pool.namespace.volumes}:
            raise AlreadyExists(f"the pool has a volume {name!r}, or is still deleting it")
        identifiers = self._pool.identifiers
        volume = identifiers.volume()
        return VolumeRecord(volume, name, identifiers.inode(volume), self._pool.clock(), 0, state=UNFINISHED)


class _Copy:
    """Copies the file tree of a snapshot into a volume, part by part."""

    def __init__(self, pool: "Pool", past: PastView, record: VolumeRecord, source: VolumeId) -> None:
        self._pool = pool
        self._past = past
        self._record = record
        self._bounds = inodes_of(source)
        self._nameless: set[int] = set()
        self._copied = 0

    async def run(self) -> None:
        """INODE comes first: it tells which inodes had no name, and so are not copied."""
        low, high = self._bounds
        for table in PAST:
            at = low
            while rows := await self._past.range(table, at, high, _ROWS):
                for key, row in rows:
                    if self._number(key[0]) not in self._nameless:
                        self._copy(table, key, row)
                at = successor(rows[-1][0])
                await self._let_commit(len(rows))

    async def _let_commit(self, rows: int) -> None:
        self._copied += rows
        if self._copied >= _ROWS_PER_COMMIT:
            self._copied = 0
            await self._pool.commit()
        await trio.lowlevel.checkpoint()

    def _copy(self, table: Table, key: Key, row: Row) -> None:
        put, number = self._pool.view.put, self._number(key[0])
        match table:
            case Table.INODE:
                self._copy_inode(number, row)
            case Table.EXTENTS:
                self._copy_page(number, key, row)
            case Table.DIRENT:
                child, *rest = row
                put(table, (number, *key[1:]), (self._number(child), *rest))
            case Table.LISTING:
                name, child, kind = row
                put(table, (number, *key[1:]), (name, self._number(child), kind))
            case Table.STREAM:
                name, stream = row
                put(table, (number, *key[1:]), (name, self._number(stream)))
            case Table.NAME:
                put(table, (number, self._number(key[1]), *key[2:]), row)
            case _:
                put(table, (number, *key[1:]), row)

    def _copy_inode(self, number: InodeNumber, row: Row) -> None:
        inode = Inode(number, row)
        if inode.parent:
            inode.parent = self._number(inode.parent)
        if inode.nlink == 0 or (inode.is_stream and inode.parent in self._nameless):
            self._nameless.add(number)  # a stream's number is larger than its base's
            return
        inode.volume = self._record.id
        self._record.inodes += 1
        self._pool.windows.allocated_blocks[self._record.id] += inode.allocated_blocks
        self._pool.view.put(Table.INODE, (number,), inode.row())
        self._pool.namespace.mark_volume(self._record)

    def _copy_page(self, number: InodeNumber, key: Key, row: Row) -> None:
        body, page = row[0], key[1]
        assert isinstance(body, bytes)
        assert isinstance(page, int)
        for reference in unpack_page(number, page, body).values():
            self._pool.references.hold(reference)
        self._pool.view.put(Table.EXTENTS, (number, page), (body, 0))

    def _number(self, number: object) -> InodeNumber:
        assert isinstance(number, int)
        return inode_in(self._record.id, number)
