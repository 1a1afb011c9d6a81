"""Space that clients set aside for files (MS-FSA 2.1.5.15.1, MS-SMB2 2.2.13.2.2).

A volume is thin: nothing is taken before it is written. What is set aside is shown as the file's AllocationSize until the last
open of the file ends, as on Windows, and is refused when the volume does not have as much.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from odxfs.smb.information.attributes import rounded_up
from odxfs.wire.create import CreateAction, RawContext
from odxfs.wire.create_contexts import AllocationSize, find_create_context

if TYPE_CHECKING:
    from odxfs.smb.opens import SmbOpen
    from odxfs.smb.server import SmbServer
    from odxfs.volume import Inode, Volume


def set_aside(opened: SmbOpen, size: int) -> None:
    """Show `size` bytes as allocated. Raises NoSpace and QuotaExceeded."""
    opened.volume.check_room(max(0, size - opened.inode.allocated_bytes))
    opened.volume.reserve(opened.inode, rounded_up(size))


def check_room_at_create(volume: Volume, contexts: tuple[RawContext, ...], replaced: Inode | None) -> None:
    """Whether there is room for what the AlSi context of a CREATE asks for, in place of what `replaced` has.

    Asked before anything is made or emptied. Raises as `set_aside` does.
    """
    wanted = _asked_at_create(contexts)
    if wanted is not None:
        volume.check_room(max(0, wanted - (replaced.allocated_bytes if replaced is not None else 0)))


def set_aside_at_create(opened: SmbOpen, action: CreateAction, contexts: tuple[RawContext, ...]) -> None:
    """Show that as allocated, for a file that is new or empty."""
    wanted = _asked_at_create(contexts)
    if wanted is not None and action is not CreateAction.OPENED and opened.inode.is_file:
        opened.volume.reserve(opened.inode, rounded_up(wanted))


def _asked_at_create(contexts: tuple[RawContext, ...]) -> int | None:
    data = find_create_context(contexts, AllocationSize.NAME)
    return None if data is None else AllocationSize.unpack(data).allocation_size


def forget_reserve(server: SmbServer, opened: SmbOpen) -> None:
    """After an open has ended: the last one of a client takes what was set aside with it."""
    inode = opened.inode
    if inode.reserved_bytes and not server.opens.name_is_kept(inode.number):
        opened.volume.reserve(inode, 0)
