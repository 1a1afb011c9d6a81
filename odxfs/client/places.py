"""The two ends of a copy, an SMB file or a local one, behind one shape."""

from dataclasses import dataclass
from typing import Protocol

from odxfs.client.connection import Connection
from odxfs.client.errors import RequestRefused
from odxfs.client.file import SmbFile
from odxfs.client.plan import Side
from odxfs.client.tree import Tree
from odxfs.ntstatus import Status
from odxfs.types import Buffer


class File(Protocol):
    """An open file. Offsets, lengths and sizes are bytes."""

    size: int
    created: bool
    max_read_bytes: int
    max_write_bytes: int

    @property
    def name(self) -> str: ...
    async def read(self, offset: int, length: int) -> Buffer: ...
    async def write(self, offset: int, data: Buffer) -> int: ...
    async def set_end_of_file(self, size: int) -> None: ...
    async def close(self) -> None: ...


class Place(Protocol):
    """Where a file is or will be."""

    @property
    def side(self) -> Side: ...
    @property
    def connection(self) -> Connection | None: ...
    async def open_to_read(self) -> File: ...
    async def open_to_write(self) -> File: ...
    async def delete(self) -> None: ...
    async def identity(self, file: File) -> tuple[object, ...]:
        """What two opens of the same file have in common; files of different volumes may share it by chance."""
        ...

    async def is_being_written(self) -> bool:
        """Whether somebody holds the file open to write it."""
        ...


@dataclass(frozen=True, slots=True)
class SmbPlace:
    """A path on a share, parts joined by backslashes."""

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

    async def open_to_read(self) -> SmbFile:
        """Raises RequestRefused."""
        return await self.tree.open_to_read(self.path)

    async def open_to_write(self) -> SmbFile:
        """Made new when it is missing, otherwise left as it is. Raises RequestRefused."""
        return await self.tree.open_to_write(self.path)

    async def delete(self) -> None:
        """Raises RequestRefused."""
        await self.tree.delete(self.path)

    async def identity(self, file: File) -> tuple[object, ...]:
        """The file's number on the server; its path where the server keeps no numbers.

        Not the volume's serial number: Samba makes one up for every share, also for two shares of one folder.
        """
        assert isinstance(file, SmbFile)
        guid = self.connection.wire.server_guid
        try:
            return guid, await file.index_number()
        except RequestRefused:
            return guid, self.tree.name.casefold(), self.path.casefold()

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
