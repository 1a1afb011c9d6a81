"""The two ends of a copy, an SMB file or a local one, behind one shape."""

from collections.abc import AsyncGenerator
from typing import Protocol, Self

from odxfs.client.connection import Connection
from odxfs.client.entry import Entry
from odxfs.client.identity import Identity
from odxfs.client.metadata import Lost, Metadata
from odxfs.client.plan import Side
from odxfs.types import Buffer


class File(Protocol):
    """An open file. Offsets, lengths and sizes are bytes. Every call may raise UserError."""

    size: int
    created: bool
    metadata: Metadata
    max_read_bytes: int
    max_write_bytes: int

    @property
    def name(self) -> str: ...
    @property
    def sparse(self) -> bool:
        """Whether it is marked as a file that has holes on purpose."""
        ...

    async def read(self, offset: int, length: int) -> Buffer: ...
    async def write(self, offset: int, data: Buffer) -> int: ...
    async def set_end_of_file(self, size: int) -> None: ...
    async def find_data(self, offset: int, length: int) -> tuple[list[tuple[int, int]], int]:
        """Where the range holds data: (offset, length) ranges, and the offset up to which they tell all."""
        ...

    async def mark_sparse(self) -> bool: ...
    async def flush(self) -> None:
        """On stable storage on return."""
        ...

    async def set_metadata(self, metadata: Metadata) -> set[Lost]: ...
    async def streams(self) -> list[str]:
        """Names of the streams beside the unnamed one."""
        ...

    async def attributes(self) -> dict[bytes, bytes]:
        """The extended attributes; a local one's name without its `user.`."""
        ...

    async def set_attributes(self, attributes: dict[bytes, bytes]) -> None: ...
    async def close(self) -> None: ...


class Place(Protocol):
    """Where a file or a folder is or will be. Every call may raise UserError."""

    @property
    def side(self) -> Side: ...
    @property
    def connection(self) -> Connection | None: ...
    @property
    def name(self) -> str:
        """What messages call it."""
        ...

    def inside(self, name: str) -> Self:
        """The place of that name in this folder."""
        ...

    def partial(self) -> Self:
        """The place beside this one where a copy that can be resumed grows."""
        ...

    def stream(self, name: str) -> Self:
        """A named stream of this file."""
        ...

    def refuse_name(self, name: str) -> str | None:
        """Why no file of this name can be made in this folder, as far as that is known without asking."""
        ...

    async def look(self) -> Entry | None:
        """What is there, or None."""
        ...

    def pages(self) -> AsyncGenerator[list[Entry], None]:
        """The entries of this folder, some at a time."""
        ...

    async def folder_identity(self) -> Identity:
        """`identity` of this folder."""
        ...

    async def make_folder(self, *, private: bool = False) -> bool:
        """Make a folder unless it is there; whether it was made. `private`: for the user alone, until it gets a mode."""
        ...

    async def set_folder_metadata(self, metadata: Metadata) -> set[Lost]: ...
    async def make_link(self, target: str) -> None:
        """A symbolic link."""
        ...

    async def open_to_read(self) -> File: ...
    async def open_to_write(self) -> File:
        """Made new when it is missing, otherwise left as it is; no other copy can open it so meanwhile."""
        ...

    async def open_partial(self) -> File:
        """`open_to_write`, and to read back and `rename`, too."""
        ...

    async def rename(self, file: File, target: Self) -> None:
        """The open `file`, which is here, becomes `target`, in the place of a file that may be there."""
        ...

    async def delete(self) -> None: ...
    async def discard(self, file: File) -> None:
        """Close `file`, which was opened here, and delete it, but nothing that has taken its name meanwhile."""
        ...

    async def identity(self, file: File) -> Identity:
        """What the open file is recognised by."""
        ...

    async def is_being_written(self) -> bool:
        """Whether somebody holds the file open to write it."""
        ...
