"""Opens of named streams (MS-FSA 2.1.5.1): the stream is made with its file or on it, and found by its file's rights.

Such an open stands twice in the open table. Under the stream's inode with what it may do and shares, so that share modes
and locks are the stream's own. Under the file's inode without any right, so that the file is not deleted, replaced or renamed
under it; the file's other opens are not concerned.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from odxfs.errors import NotFound, SharingViolation
from odxfs.opens.share_modes import DELETE, FILE_SHARE_ALL, FILE_SHARE_DELETE, uses
from odxfs.smb.opens import SmbOpen

if TYPE_CHECKING:
    from odxfs.opens import OpenTable
    from odxfs.smb.server import SmbServer
    from odxfs.types import InodeNumber
    from odxfs.volume import Inode, Volume


def open_streams(opens: OpenTable, number: InodeNumber) -> list[SmbOpen]:
    """The opens of named streams of a file."""
    owners = (entry.owner for entry in opens.opens_of(number))
    return [
        owner
        for owner in owners
        if isinstance(owner, SmbOpen) and owner.base is not None and owner.base.number == number
    ]


def check_streams_share_delete(opens: OpenTable, number: InodeNumber) -> None:
    """A file can be opened to be deleted only where each stream of it that is read or written shares that (MS-FSA 2.1.5.1.2.1).

    Raises SharingViolation.
    """
    for opened in open_streams(opens, number):
        if uses(opened.granted_access) and not opened.share_access & FILE_SHARE_DELETE:
            raise SharingViolation(f"a stream of inode {number} is open without sharing deletion")


def check_deletion_is_shared(opens: OpenTable, number: InodeNumber, access: int, share: int) -> None:
    """The other way round: who shares no deletion reads or writes a stream only while nobody has its file open to delete it."""
    if share & FILE_SHARE_DELETE or not uses(access):
        return
    if any(entry.access & DELETE for entry in opens.opens_of(number)):
        raise SharingViolation(f"inode {number} is open to be deleted, which a stream of it is not to share")


def attach_base(opens: OpenTable, opened: SmbOpen, base: Inode, name: bytes) -> None:
    """Make an open, which is in the table by its stream's inode, one of the stream `name` of `base`. Takes over a hold of it."""
    opened.base, opened.stream_name = base, name
    opened.base_entry = opens.open(base.number, 0, FILE_SHARE_ALL, opened, name=opened.entry_name)


async def attach_base_again(opens: OpenTable, volume: Volume, opened: SmbOpen) -> bool:
    """The same for an open that only knows its stream; False when its file is gone."""
    try:
        base = await volume.inode(opened.inode.parent)
    except NotFound:
        return False
    names = [entry.name for entry in await volume.list_streams(base) if entry.number == opened.inode.number]
    if not names:
        return False
    volume.hold(base)
    attach_base(opens, opened, base, names[0])
    return True


async def remove_open_stream(opened: SmbOpen, base: Inode) -> None:
    """Remove the stream that is open. Raises NotFound when its name has become another stream's, or nobody's, meanwhile."""

    def permit(found: Inode) -> None:
        if found is not opened.inode:
            raise NotFound(f"{opened.full_path!r} is another stream by now")

    await opened.volume.remove_stream(base, opened.stream_name, permit)


async def remove_all_streams(opens: OpenTable, volume: Volume, base: Inode) -> None:
    """What overwriting a file does to its named streams. Open ones go on without a name."""
    for entry in await volume.list_streams(base):
        with suppress(NotFound):  # another client may have removed it since
            await volume.remove_stream(base, entry.name)


def follow_stream_rename(server: SmbServer, base: Inode, old: bytes, new: bytes) -> None:
    """Every open of a stream learns its new name."""
    for opened in open_streams(server.opens, base.number):
        if opened.stream_name == old:
            opened.stream_name = new
