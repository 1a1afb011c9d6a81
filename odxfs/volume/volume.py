"""A volume as the front ends use it: one file tree of a pool, seen through an origin."""

from typing import TYPE_CHECKING

from odxfs.errors import NoSpace, NotFound
from odxfs.types import BLOCK_BYTES, Buffer, InodeNumber, VolumeId
from odxfs.volume.pins import Pin
from odxfs.volume.statfs import Statfs, statfs
from odxfs.volume.tree.directories import DirectoryEntry
from odxfs.volume.tree.inodes import AttributeChange, Inode, Permit
from odxfs.volume.tree.namespace import checked_kind
from odxfs.volume.tree.renames import RenameFlags, RenamePermit
from odxfs.volume.tree.streams import StreamEntry
from odxfs.volume.tree.tree import Tree
from odxfs.volume.writes import RangePermit, permit_all

if TYPE_CHECKING:
    from odxfs.volume.pool import Pool


class Volume:
    """A light view of a volume: all state is the pool's. `origin` ("mount", "smb", ...) is stamped on the events.

    Methods that change something raise ReadOnly when the pool has latched itself read-only. An Inode that is kept over a
    checkpoint must be held, else it may be deleted meanwhile.
    """

    def __init__(self, pool: "Pool", name: str, origin: str = "") -> None:
        """Raises NotFound when the pool has no volume of that name."""
        record = pool.namespace.record_of(name)
        self.name = name
        self.id: VolumeId = record.id
        self.root: InodeNumber = record.root
        self.created_ns = record.created_ns
        """Nanoseconds since 1970."""
        self.pool = pool
        self.origin = origin
        self._namespace = pool.namespace
        self._tree: Tree = pool.namespace
        self._data = pool.data

    # Inodes

    async def inode(self, number: InodeNumber) -> Inode:
        """The one live object of an inode; no checkpoint when it is cached. Raises NotFound."""
        return await self._tree.inode(self.id, number)

    def cached_inode(self, number: InodeNumber) -> Inode | None:
        """The live object of an inode that somebody refers to, or that was used of late."""
        return self._tree.inodes.cached(number)

    def hold(self, inode: Inode) -> None:
        """Count an open handle, or the kernel's lookups: an inode without a name stays while it is held."""
        self._tree.inodes.hold(inode)

    async def release(self, inode: Inode) -> None:
        """Undo one `hold`. The last release of an inode without a name deletes it."""
        await self._tree.release(inode)

    # Names

    async def lookup(self, parent: InodeNumber, name: bytes) -> Inode:
        """The inode of an entry. Raises NotFound, NotADirectory, NameTooLong."""
        directory = await self._tree.directory(self.id, parent)
        entry = await self._tree.entry(directory, name)
        inodes = self._tree.inodes
        return inodes.recent(entry.number) or await inodes.get(entry.number)

    async def lookup_ignoring_case(self, parent: InodeNumber, name: str) -> tuple[bytes, Inode]:
        """The entry of exactly that name, else one that differs in case only: its stored name and inode.

        By an index, whatever the directory's size. Raises NotFound, NotADirectory.
        """
        await self._tree.directory(self.id, parent)
        entry = await self._tree.directories.find_ignoring_case(parent, name)
        return entry.name, await self._tree.inodes.get(entry.number)

    async def parent_of(self, directory: InodeNumber) -> InodeNumber:
        """The directory above a directory; the root's is itself. Raises NotFound, NotADirectory."""
        return (await self._tree.directory(self.id, directory)).parent

    async def names_of(self, number: InodeNumber) -> list[tuple[InodeNumber, bytes]]:
        """Every (directory, name) of an inode; none for the root and for what is deleted."""
        return await self._tree.directories.names_of(number)

    async def list_directory(
        self, directory: InodeNumber, after: int = 0, limit: int = 1000
    ) -> list[DirectoryEntry]:
        """At most `limit` entries behind the cookie `after`, ascending, without `.` and `..`; fewer means the end.

        An entry that is there during the whole listing is met exactly once. Raises NotFound, NotADirectory.
        """
        await self._tree.directory(self.id, directory)
        return await self._tree.directories.listing(directory, after, limit)

    async def create(
        self,
        parent: InodeNumber,
        name: bytes,
        mode: int,
        uid: int,
        gid: int,
        *,
        rdev: int = 0,
        target: bytes = b"",
        dos_attributes: int = 0,
        security: bytes = b"",
        ignoring_case: bool = False,
    ) -> Inode:
        """Make an inode of any kind (`mode` with S_IFMT; none means a regular file) and its first name.

        `target` is a symlink's, `rdev` a device node's. In a directory with S_ISGID the group is the directory's, and a new
        directory has S_ISGID too. `security` is a security descriptor to keep. With `ignoring_case` a name that
        differs in case only stands in the way, too. Raises AlreadyExists, NotFound, NotADirectory, InvalidArgument,
        NameTooLong, AttributeTooLarge.
        """
        return await self._namespace.create(
            self.id,
            self.origin,
            parent,
            name,
            mode,
            uid,
            gid,
            rdev=rdev,
            target=target,
            dos_attributes=dos_attributes,
            security=security,
            ignoring_case=ignoring_case,
        )

    async def link(
        self,
        inode: Inode,
        parent: InodeNumber,
        name: bytes,
        instead_of: bytes | None = None,
        permit: Permit | None = None,
        *,
        ignoring_case: bool = False,
    ) -> None:
        """Give an inode a further name; in the same step `instead_of`, a name in that directory, is removed (`permit` as there).

        `ignoring_case` as for `create`, without `instead_of`.

        Raises NotPermitted for a directory, CrossVolume, TooManyLinks, AlreadyExists, NotFound, NotADirectory, IsADirectory.
        """
        await self._namespace.link(
            self.id, self.origin, inode, parent, name, instead_of, permit, ignoring_case=ignoring_case
        )

    async def unlink(self, parent: InodeNumber, name: bytes, permit: Permit | None = None) -> None:
        """Remove a name of anything but a directory. Raises IsADirectory, NotFound, NotADirectory.

        `permit` is shown the inode before anything is changed, and may raise.
        """
        await self._namespace.unlink(self.id, self.origin, parent, name, permit)

    async def rmdir(self, parent: InodeNumber, name: bytes, permit: Permit | None = None) -> None:
        """Remove an empty directory. Raises NotEmpty, NotADirectory, NotFound; `permit` as for `unlink`."""
        await self._namespace.rmdir(self.id, self.origin, parent, name, permit)

    async def rename(
        self,
        old_parent: InodeNumber,
        old_name: bytes,
        new_parent: InodeNumber,
        new_name: bytes,
        flags: RenameFlags = RenameFlags.NONE,
        permit: RenamePermit | None = None,
        *,
        ignoring_case: bool = False,
    ) -> None:
        """Rename as rename(2) and renameat2(2) do, but for MERGE; what had the new name loses it.

        `permit` is shown what moves and what has the new name, if anything, before anything is changed, and may raise.
        With NOREPLACE and `ignoring_case` a name that differs in case only stands in the way.
        Raises NotFound, AlreadyExists (NOREPLACE), InvalidArgument (into itself), IsADirectory, NotADirectory, NotEmpty.
        """
        await self._namespace.renames.rename(
            self.id,
            self.origin,
            old_parent,
            old_name,
            new_parent,
            new_name,
            flags,
            permit,
            ignoring_case=ignoring_case,
        )

    async def change_kind(
        self, inode: Inode, mode: int, target: bytes = b"", permit: Permit | None = None
    ) -> None:
        """Turn an empty file or directory, a link or a special file with one name into what `mode` says (no device).

        `permit` as for `unlink`. Raises NotEmpty for what holds data, is being written to or has streams, NotPermitted for
        several names, NotFound, InvalidArgument and NameTooLong for the target. Returns when the kernel has forgotten what it
        was: readlink(2) of what the kernel takes for a file is EINVAL without a question to us.
        """
        mode = checked_kind(mode, target)
        folder = await self._namespace.kinds.change(self.id, self.origin, inode, mode, target, permit)
        await self.pool.followed(folder)

    # Named streams

    async def find_stream(self, base: Inode, name: bytes) -> tuple[bytes, Inode]:
        """The named stream of a file or directory, in whatever case: its stored name and inode. Raises NotFound."""
        entry = await self._tree.streams.find(base, name)
        if entry is None:
            raise NotFound(f"inode {base.number} has no stream {name!r}")
        return entry.name, await self._tree.inodes.get(entry.number)

    async def list_streams(self, base: Inode) -> list[StreamEntry]:
        """Every named stream of a file or directory."""
        return await self._tree.streams.all(base)

    async def create_stream(self, base: Inode, name: bytes) -> Inode:
        """Make an empty stream. Raises AlreadyExists, InvalidArgument, NameTooLong, NotFound, TooManyStreams."""
        return await self._namespace.stream_changes.create(self.id, self.origin, base, name)

    async def remove_stream(self, base: Inode, name: bytes, permit: Permit | None = None) -> None:
        """Remove a stream; its data goes when nobody holds its inode. Raises NotFound; `permit` as for `unlink`."""
        await self._namespace.stream_changes.remove(self.id, self.origin, base, name, permit)

    async def rename_stream(self, base: Inode, old: bytes, new: bytes, permit: Permit | None = None) -> None:
        """Give a stream another name. A stream that has it is replaced if `permit`, which is shown its inode, does not raise.

        Raises NotFound, AlreadyExists without `permit`, InvalidArgument, NameTooLong.
        """
        await self._namespace.stream_changes.rename(self.id, self.origin, base, old, new, permit)

    # Attributes

    async def set_attributes(self, inode: Inode, change: AttributeChange) -> None:
        """Set mode, owner, times, DOS attributes or security; ctime follows unless given.

        Raises InvalidArgument, AttributeTooLarge.
        """
        self._namespace.attributes.set(self.origin, inode, change)

    def touch(self, inode: Inode, *, accessed: bool = False, modified: bool = False) -> None:
        """The inode's content was read or written just now; the access time follows sparingly (relatime)."""
        self._namespace.attributes.touch(inode, accessed=accessed, modified=modified)

    async def security(self, inode: Inode) -> bytes:
        """The security descriptor that is kept for an inode, b"" when there is none; at hand the second time."""
        return await self._tree.xattrs.security(inode)

    def keep_mtime(self, inode: Inode, kept: int) -> None:
        """After bytes changed: let the time of modification be `kept` again, to 100 ns. Who caches by it sees another."""
        self._namespace.attributes.keep_mtime(inode, kept)

    def reserve(self, inode: Inode, length: int) -> None:
        """Note how many bytes a client has set aside for a file, in memory: space is taken when it is written to."""
        inode.reserved_bytes = length

    async def get_xattr(self, inode: Inode, name: bytes) -> bytes:
        """An extended attribute's value. Raises NoAttribute."""
        return await self._tree.xattrs.get(inode, name)

    async def set_xattr(
        self, inode: Inode, name: bytes, value: bytes, *, create: bool = False, replace: bool = False
    ) -> None:
        """Set an extended attribute (setxattr(2)): at most 64 KiB a value and 1 MiB an inode.

        Raises AlreadyExists (`create`), NoAttribute (`replace`), AttributeTooLarge, NameTooLong, InvalidArgument.
        """
        await self._namespace.set_xattr(self.origin, inode, name, value, create=create, replace=replace)

    async def remove_xattr(self, inode: Inode, name: bytes) -> None:
        """Remove an extended attribute. Raises NoAttribute."""
        await self._namespace.remove_xattr(self.origin, inode, name)

    async def list_xattrs(self, inode: Inode) -> list[bytes]:
        """The names of the extended attributes, sorted."""
        return await self._tree.xattrs.names(inode.number)

    @property
    def quota_bytes(self) -> int | None:
        """What the volume's files may allocate; None without a quota."""
        blocks = self.pool.windows.quotas.limits.get(self.id)
        return None if blocks is None else blocks * BLOCK_BYTES

    def statfs(self) -> Statfs:
        """True numbers of the volume's quota, the pool and the file system below it."""
        return statfs(self.pool, self.id)

    def check_room(self, length: int) -> None:
        """Raise QuotaExceeded or NoSpace when not even an empty pool state as now has `length` bytes for the volume."""
        numbers, blocks = self.statfs(), -(-length // BLOCK_BYTES)
        self.pool.windows.quotas.require(self.id, blocks)
        if blocks > numbers.free_blocks:
            raise NoSpace(f"{length} bytes do not fit")

    # Data: see DataPath (data.py) for what each does and raises

    def read_nowait(
        self, inode: Inode, offset: int, length: int, page: memoryview | None = None
    ) -> Buffer | None:
        """Bytes that are at hand now, else None: then use `read`. Clipped at the end of file; holes are zeros.

        With `page`, of INLINE_BYTES, they may be a view of it, good until the caller uses it again.
        """
        return self._data.read_nowait(inode, offset, length, page)

    async def read(self, inode: Inode, offset: int, length: int) -> Buffer:
        """Bytes, clipped at the end of file. Raises NotAFile, Corrupt, Stale, StoreFailed."""
        return await self._data.read(inode, offset, length)

    def write_nowait(self, inode: Inode, offset: int, data: Buffer) -> bool:
        """Write if nothing has to be waited for; False: nothing was changed, use `write`."""
        return self._data.write_nowait(inode, offset, data, origin=self.origin)

    async def write(
        self,
        inode: Inode,
        offset: int,
        data: Buffer,
        *,
        may_grow: bool = True,
        permit: RangePermit = permit_all,
    ) -> None:
        """Write, extending the file where needed. Raises NoSpace, FileTooBig, ReadOnly, NotAFile, Stale.

        Without `may_grow` what would lie past the end of file is left out. `permit` is asked in the step that changes the file.
        """
        await self._data.write(inode, offset, data, origin=self.origin, may_grow=may_grow, permit=permit)

    async def append(self, inode: Inode, data: Buffer, permit: RangePermit) -> int:
        """Write at the end of file as it is at that moment; returns where that was. `permit` is asked in that step."""
        return await self._data.append(inode, data, permit, origin=self.origin)

    async def truncate(self, inode: Inode, size: int) -> None:
        """Move the end of file. Raises FileTooBig, ReadOnly, NotAFile, Stale."""
        await self._data.truncate(inode, size, origin=self.origin)

    async def deallocate(self, inode: Inode, offset: int, length: int) -> None:
        """Make a range read zeros and give back its whole blocks; the size stays."""
        await self._data.deallocate(inode, offset, length, origin=self.origin)

    async def allocated_ranges(
        self, inode: Inode, offset: int, length: int, limit: int = 1024
    ) -> list[tuple[int, int]]:
        """(offset, length) of the runs that are not holes, adjacent ones merged."""
        return await self._data.allocated_ranges(inode, offset, length, limit)

    async def next_data(self, inode: Inode, offset: int) -> int | None:
        """The first byte at or behind `offset` that is not in a hole, or None (SEEK_DATA)."""
        return await self._data.next_data(inode, offset)

    async def sync(self, inode: Inode | None = None) -> None:
        """Everything done so far (to an inode) is durable on return."""
        await self._data.sync(inode)

    async def capture(self, inode: Inode, offset: int, length: int) -> Pin:
        """Pin a range as it is at this moment, unsynced data included; `Pool.release_pin` lets it go."""
        return await self._data.capture(inode, offset, length)

    async def is_as_pinned(self, inode: Inode, pin: Pin) -> bool:
        """Whether the blocks of the range that a pin was taken from are the file's still."""
        return await self._data.is_as_pinned(inode, pin)

    async def write_pin(
        self,
        inode: Inode,
        offset: int,
        pin: Pin,
        pin_offset: int,
        length: int,
        *,
        may_grow: bool = True,
        permit: RangePermit = permit_all,
    ) -> int:
        """Make pinned bytes appear at `offset`; returns how many bytes were shared, the rest was copied.

        Without `may_grow` the end of file stays where it is, and what would reach past it is left out. `permit` is asked in each
        step that changes the file, and may raise whatever its caller wants to hear.
        """
        return await self._data.write_pin(
            inode, offset, pin, pin_offset, length, origin=self.origin, may_grow=may_grow, permit=permit
        )

    async def clone_range(
        self, source: Inode, source_offset: int, destination: Inode, destination_offset: int, length: int
    ) -> int:
        """Capture and write_pin in one; returns how many bytes were shared. Raises InvalidArgument on overlap."""
        return await self._data.clone_range(
            source, source_offset, destination, destination_offset, length, origin=self.origin
        )
