"""A path on a share as the end of a copy."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace

from odxfs.client.closing import close_quietly, closing
from odxfs.client.connection import Connection
from odxfs.client.entry import Entry, Kind
from odxfs.client.errors import RequestRefused
from odxfs.client.file import SmbFile
from odxfs.client.folder import list_pages, open_folder
from odxfs.client.identity import Identity
from odxfs.client.metadata import Lost, Metadata
from odxfs.client.partial import partial_name
from odxfs.client.place import File
from odxfs.client.plan import Side
from odxfs.client.tree import Tree, is_directory
from odxfs.client.url import is_unicode
from odxfs.errors import ExitCode, UserError
from odxfs.ntstatus import Status
from odxfs.wire.access_mask import Access
from odxfs.wire.create import CreateOptions
from odxfs.wire.gmt_token import split_gmt_token

_FORBIDDEN = frozenset('\\/:*?"<>|') | frozenset(map(chr, range(32)))
_FOLDER_ACCESS = Access.FILE_READ_ATTRIBUTES | Access.FILE_WRITE_ATTRIBUTES


@dataclass(frozen=True, slots=True)
class SmbPlace:
    """A path on a share, parts joined by backslashes; empty for the share itself."""

    tree: Tree
    path: str

    @property
    def side(self) -> Side:
        """Which dialect the file is reached by."""
        return Side(self.tree.session.connection.wire.dialect)

    @property
    def connection(self) -> Connection:
        """The connection whose bytes a copy counts."""
        return self.tree.session.connection

    @property
    def name(self) -> str:
        """//host/share/path."""
        return self.tree.describe(self.path)

    def inside(self, name: str) -> "SmbPlace":
        """The place of that name in this folder."""
        return replace(self, path=f"{self.path}\\{name}" if self.path else name)

    def partial(self) -> "SmbPlace":
        """The place beside this one where a copy that can be resumed grows."""
        folder, slash, name = self.path.rpartition("\\")
        return replace(self, path=folder + slash + partial_name(name))

    def stream(self, name: str) -> "SmbPlace":
        """A named stream of this file."""
        return replace(self, path=f"{self.path}:{name}")

    def refuse_name(self, name: str) -> str | None:
        """Letters that SMB gives a meaning of its own would make another file than the one meant."""
        found = sorted(_FORBIDDEN.intersection(name))
        if found:
            return f"an SMB name cannot hold {found[0]!r}"
        return None if is_unicode(name) else "the name is not UTF-8, and SMB names are Unicode"

    async def look(self) -> Entry | None:
        """What is there, or None. Raises RequestRefused."""
        found = await self.tree.look(self.path)
        if found is None:
            return None
        kind = Kind.FOLDER if is_directory(found.metadata) else Kind.FILE
        return Entry(self.path.rpartition("\\")[2], kind, found.size, found.metadata)

    async def pages(self) -> AsyncGenerator[list[Entry], None]:
        """The entries of this folder. Raises RequestRefused."""
        async with (
            closing(await open_folder(self.tree, self.path)) as folder,
            aclosing(list_pages(folder)) as pages,
        ):
            async for page in pages:
                yield page

    async def folder_identity(self) -> Identity:
        """`identity` of this folder."""
        async with closing(await open_folder(self.tree, self.path)) as folder:
            return await self.identity(folder)

    async def make_folder(self, *, private: bool = False) -> bool:
        """As open as what it lies in: a share has no modes. Raises RequestRefused."""
        return await self.tree.make_directory(self.path)

    async def set_folder_metadata(self, metadata: Metadata) -> set[Lost]:
        """Give the folder these times and attributes; what was not kept."""
        options = CreateOptions.DIRECTORY_FILE
        async with closing(await self.tree.open(self.path, _FOLDER_ACCESS, options=options)) as folder:
            return await folder.set_metadata(metadata)

    async def make_link(self, target: str) -> None:
        """Never: what a link means is the client's affair, and each client has its own."""
        raise UserError(
            f"{self.name}: a symbolic link (to {target}) is not copied to a share", ExitCode.REFUSED
        )

    async def open_to_read(self) -> SmbFile:
        """Raises RequestRefused."""
        return await self.tree.open_to_copy(self.path)

    async def open_to_write(self) -> SmbFile:
        """Made new when it is missing, otherwise left as it is. Raises RequestRefused."""
        return await self.tree.open_to_write(self.path)

    async def open_partial(self) -> SmbFile:
        """`open_to_write`, and to read back and rename, too. Raises RequestRefused."""
        try:
            return await self.tree.open_partial(self.path)
        except RequestRefused as error:
            # an earlier run may have given it the source's attributes
            if error.status != Status.ACCESS_DENIED or not await self.tree.make_writable(self.path):
                raise
        return await self.tree.open_partial(self.path)

    async def rename(self, file: File, target: "SmbPlace") -> None:
        """Raises RequestRefused."""
        assert isinstance(file, SmbFile)
        await file.rename(target.path)

    async def delete(self) -> None:
        """Raises RequestRefused."""
        await self.tree.delete(self.path)

    async def discard(self, file: File) -> None:
        """Raises RequestRefused. Closed first: our own open does not share deletion."""
        await close_quietly(file)
        await self.delete()

    async def identity(self, file: File) -> Identity:
        """The file's number on the server; its path where the server keeps no numbers.

        Not the volume's serial number: Samba makes one up for every share, also for two shares of one folder. The moment of a
        previous version counts, because Samba gives it the same number.
        """
        assert isinstance(file, SmbFile)
        guid, changed_ns = self.connection.wire.server_guid, file.metadata.changed_ns
        moment, path = split_gmt_token(self.path)
        aspect = moment, path.partition(":")[2].casefold().removesuffix(":$data")
        try:
            raw = await file.index_number()
        except RequestRefused:
            key = self.tree.name.casefold(), self.path.casefold()
            return Identity(guid, key, is_exact=False, aspect=aspect)
        number, opening = int.from_bytes(raw, "little"), await self.tree.pool_opening(file)
        return Identity(
            guid,
            (raw,),
            is_exact=False,
            number=number,
            aspect=aspect,
            opening=opening,
            changed_ns=changed_ns,
        )

    async def is_being_written(self) -> bool:
        """Ask for an open that allows no writer beside it; the server knows better than any comparison of names."""
        try:
            file = await self.tree.open_unless_written(self.path)
        except RequestRefused as error:
            if error.status == Status.SHARING_VIOLATION:
                return True
            raise
        await file.close()
        return False
