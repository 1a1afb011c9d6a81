"""What is open below a directory, whichever share and path it was opened by: found by the directories' inodes.

A path is what an open was asked for by; local programs rename what is on it without a word.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from odxfs.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Iterator

    from odxfs.smb.opens import SmbOpen
    from odxfs.smb.server import SmbServer
    from odxfs.types import InodeNumber
    from odxfs.volume import Inode, Volume

Ways = dict["InodeNumber", "Inode"]
"""Directories by number: an inode that somebody refers to is found without waiting."""


async def load_ways(server: SmbServer, directory: SmbOpen) -> Ways:
    """The directories above everything open in the volume. While they are kept `opens_below` knows every way up."""
    ways: Ways = {}
    for other in _others(server, directory):
        number = _above(other)
        while number not in ways:
            try:
                ways[number] = inode = await directory.volume.inode(number)
            except NotFound:
                break  # it is removed, and what was opened in it has no name
            number = inode.parent
    return ways


def opens_below(server: SmbServer, directory: SmbOpen) -> list[SmbOpen]:
    """The other opens of what is below an open directory now; looks at every open of the server."""
    volume, number = directory.volume, directory.inode.number
    known: dict[InodeNumber, bool] = {}
    found = []
    for other in _others(server, directory):
        above = _above(other)
        if above not in known:
            known[above] = _is_below(volume, above, number)
        if known[above]:
            found.append(other)
    return found


def _others(server: SmbServer, directory: SmbOpen) -> Iterator[SmbOpen]:
    for other in server.registry:
        if (
            not other.is_pipe
            and not other.is_previous_version
            and other.volume.id == directory.volume.id
            and other.file_inode is not directory.inode
        ):
            yield other


def _above(opened: SmbOpen) -> InodeNumber:
    """The directory that an open is in; that of a share's root is the one above it."""
    return opened.file_inode.parent if opened.parent is None else opened.parent


def _is_below(volume: Volume, number: InodeNumber, directory: InodeNumber) -> bool:
    while number != directory:
        inode = volume.cached_inode(number)
        if inode is None or inode.parent == number:
            return False
        number = inode.parent
    return True
