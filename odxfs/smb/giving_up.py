"""What a CREATE has made and its client never hears of: it goes again, unless somebody has found it meanwhile."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import trio

from odxfs.errors import NotFound, VolumeError
from odxfs.smb.caching.folders import folder_changed
from odxfs.smb.closing import close_open
from odxfs.wire.create import CreateAction

if TYPE_CHECKING:
    from odxfs.opens import DirectoryName
    from odxfs.smb.opens import SmbOpen
    from odxfs.smb.server import SmbServer
    from odxfs.volume import Inode, Volume

logger = logging.getLogger(__name__)


async def give_up(server: SmbServer, opened: SmbOpen, action: CreateAction) -> None:
    """Close an open that its client never hears of. It deletes nothing but what was made for it."""
    opened.delete_on_close = False
    try:
        await close_open(server, opened)
    finally:
        if action is CreateAction.CREATED:
            await _take_back_both(server, opened)


async def _take_back_both(server: SmbServer, opened: SmbOpen) -> None:
    if opened.base is not None:
        await take_back_stream(server, opened.volume, opened.base, opened.stream_name, opened.inode)
    if opened.base is None or opened.made_base:
        await take_back(server, opened.volume, opened.entry_name, opened.file_inode)


async def take_back(server: SmbServer, volume: Volume, name: DirectoryName | None, inode: Inode) -> None:
    """Remove an empty file or directory that nobody has open. Whatever stands against that is logged."""
    assert name is not None, "a share's root is not made"
    judged_ns = inode.ctime_ns

    def permit(found: Inode) -> None:
        _require_unfound(server, inode, found)
        if inode.ctime_ns != judged_ns:
            raise NotFound("somebody has changed it")

    with trio.CancelScope(shield=True):
        try:
            if await volume.list_streams(inode):
                return
            await (volume.rmdir if inode.is_directory else volume.unlink)(*name, permit)
        except VolumeError as error:
            logger.info("%r is not taken back: %s", name[1], error)
            return
        folder_changed(server, name[0])
        await volume.pool.followed(name[0])


async def take_back_stream(
    server: SmbServer, volume: Volume, base: Inode, name: bytes, stream: Inode
) -> None:
    """The same for a named stream."""

    def permit(found: Inode) -> None:
        _require_unfound(server, stream, found)

    with trio.CancelScope(shield=True):
        try:
            await volume.remove_stream(base, name, permit)
        except VolumeError as error:
            logger.info("the stream %r is not taken back: %s", name, error)


def _require_unfound(server: SmbServer, made: Inode, found: Inode) -> None:
    if found is not made or made.size or server.opens.is_open(made.number):
        raise NotFound("somebody has found it, or taken it away")
