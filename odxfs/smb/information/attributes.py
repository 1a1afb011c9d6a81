"""What an inode looks like to Windows: file attributes, reparse tags, sizes and FILETIMEs (MS-FSCC 2.6, 2.1.2.1)."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from odxfs.types import BLOCK_BYTES
from odxfs.volume import Inode
from odxfs.wire.fscc.classes import FileAttributes, ReparseTag
from odxfs.wire.fscc.filetime import Filetime, from_ns

if TYPE_CHECKING:
    from odxfs.smb.opens import SmbOpen

SETTABLE = (
    FileAttributes.READONLY
    | FileAttributes.HIDDEN
    | FileAttributes.SYSTEM
    | FileAttributes.ARCHIVE
    | FileAttributes.TEMPORARY
    | FileAttributes.OFFLINE
    | FileAttributes.NOT_CONTENT_INDEXED
)
"""What SET_INFO may change; SPARSE_FILE has its own FSCTL, the others describe what an inode is."""

_REPARSE_TAGS = {
    stat.S_IFLNK: ReparseTag.SYMLINK,
    stat.S_IFSOCK: ReparseTag.AF_UNIX,
    stat.S_IFIFO: ReparseTag.LX_FIFO,
    stat.S_IFCHR: ReparseTag.LX_CHARACTER,
    stat.S_IFBLK: ReparseTag.LX_BLOCK,
}


@dataclass(frozen=True, slots=True)
class Times:
    """The four times of an inode as FILETIMEs."""

    creation: Filetime
    last_access: Filetime
    last_write: Filetime
    change: Filetime


def times_of(inode: Inode) -> Times:
    """The inode's times for the wire."""
    return Times(
        from_ns(inode.btime_ns), from_ns(inode.atime_ns), from_ns(inode.mtime_ns), from_ns(inode.ctime_ns)
    )


def reparse_tag(inode: Inode) -> int:
    """The tag of what is neither file nor directory (symlink, and the WSL tags of special files), else 0."""
    return _REPARSE_TAGS.get(stat.S_IFMT(inode.mode), 0)


def file_attributes(inode: Inode) -> int:
    """The attributes a client sees; NORMAL when there is no other."""
    attributes = inode.dos_attributes
    if stat.S_ISDIR(inode.mode):
        attributes |= FileAttributes.DIRECTORY
    elif not stat.S_ISREG(inode.mode):
        attributes |= FileAttributes.REPARSE_POINT
    return attributes or FileAttributes.NORMAL


def open_attributes(opened: SmbOpen) -> int:
    """The attributes of what is open: those of the file, but whether it is sparse each stream says for itself."""
    if opened.base is None:
        return file_attributes(opened.inode)
    sparse = opened.inode.dos_attributes & FileAttributes.SPARSE_FILE
    attributes = file_attributes(opened.base) & ~(FileAttributes.SPARSE_FILE | FileAttributes.NORMAL) | sparse
    return attributes or FileAttributes.NORMAL


def end_of_file(inode: Inode) -> int:
    """The size in bytes that a client sees: directories and links have none."""
    return inode.size if stat.S_ISREG(inode.mode) else 0


def allocation_size(inode: Inode) -> int:
    """The bytes set aside: whole blocks up to the end of the file, or what a file marked sparse really takes.

    Behind the end there is what a client has set aside, until the last open ends.
    Other files are thin as well, but a client that saw less than the size would take them for sparse or compressed.
    """
    if not stat.S_ISREG(inode.mode):
        return 0
    if inode.dos_attributes & FileAttributes.SPARSE_FILE:
        return inode.allocated_bytes
    return max(rounded_up(inode.size), inode.reserved_bytes)


def rounded_up(length: int) -> int:
    """Whole blocks, in bytes."""
    return -(-length // BLOCK_BYTES) * BLOCK_BYTES


def visible_links(inode: Inode) -> int:
    """NumberOfLinks: directories have one."""
    return 1 if stat.S_ISDIR(inode.mode) else inode.nlink
