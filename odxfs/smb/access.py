"""From POSIX mode bits to access masks (MS-SMB2 2.2.13.1), in both directions of need: what is asked, what is allowed."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from odxfs.ntstatus import Status
from odxfs.smb.request import SmbError

if TYPE_CHECKING:
    from odxfs.volume import Inode

FILE_READ_DATA = FILE_LIST_DIRECTORY = 0x0001
FILE_WRITE_DATA = FILE_ADD_FILE = 0x0002
FILE_APPEND_DATA = FILE_ADD_SUBDIRECTORY = 0x0004
FILE_READ_EA = 0x0008
FILE_WRITE_EA = 0x0010
FILE_EXECUTE = FILE_TRAVERSE = 0x0020
FILE_DELETE_CHILD = 0x0040
FILE_READ_ATTRIBUTES = 0x0080
FILE_WRITE_ATTRIBUTES = 0x0100
DELETE = 0x0001_0000
READ_CONTROL = 0x0002_0000
WRITE_DAC = 0x0004_0000
WRITE_OWNER = 0x0008_0000
SYNCHRONIZE = 0x0010_0000
ACCESS_SYSTEM_SECURITY = 0x0100_0000
MAXIMUM_ALLOWED = 0x0200_0000
GENERIC_ALL = 0x1000_0000
GENERIC_EXECUTE = 0x2000_0000
GENERIC_WRITE = 0x4000_0000
GENERIC_READ = 0x8000_0000

FILE_ALL_ACCESS = 0x001F_01FF
FILE_GENERIC_READ = READ_CONTROL | FILE_READ_DATA | FILE_READ_ATTRIBUTES | FILE_READ_EA | SYNCHRONIZE
FILE_GENERIC_WRITE = (
    READ_CONTROL | FILE_WRITE_DATA | FILE_WRITE_ATTRIBUTES | FILE_WRITE_EA | FILE_APPEND_DATA | SYNCHRONIZE
)
FILE_GENERIC_EXECUTE = READ_CONTROL | FILE_READ_ATTRIBUTES | FILE_EXECUTE | SYNCHRONIZE

CHANGING = (
    FILE_WRITE_DATA
    | FILE_APPEND_DATA
    | FILE_WRITE_EA
    | FILE_WRITE_ATTRIBUTES
    | FILE_DELETE_CHILD
    | DELETE
    | WRITE_DAC
    | WRITE_OWNER
)
"""Every right that lets its holder change something; what a read-only share takes away."""

READ_ONLY_ACCESS = FILE_ALL_ACCESS & ~CHANGING

FILE_ATTRIBUTE_READONLY = 0x0001

_VALID = FILE_ALL_ACCESS | ACCESS_SYSTEM_SECURITY | MAXIMUM_ALLOWED | 0xF000_0000
_FOR_ALL = FILE_READ_ATTRIBUTES | READ_CONTROL | SYNCHRONIZE
_BY_READ = FILE_READ_DATA | FILE_READ_EA | FILE_EXECUTE
_BY_WRITE = FILE_WRITE_DATA | FILE_APPEND_DATA | FILE_WRITE_EA | FILE_WRITE_ATTRIBUTES | FILE_DELETE_CHILD
_BY_OWNER = FILE_WRITE_ATTRIBUTES | WRITE_DAC | WRITE_OWNER | DELETE


def permission_bits(inode: Inode, uid: int, gid: int) -> int:
    """The rwx bits (0 to 7) of `inode` for that user; root has all."""
    if uid == 0:
        return 0o7
    if uid == inode.uid:
        return inode.mode >> 6 & 0o7
    if gid == inode.gid:
        return inode.mode >> 3 & 0o7
    return inode.mode & 0o7


def may_traverse(directory: Inode, uid: int, gid: int) -> bool:
    """Whether a path may lead through `directory`: the x bit, as on the mount."""
    return bool(permission_bits(directory, uid, gid) & 0o1)


def may_change_entries(directory: Inode, uid: int, gid: int) -> bool:
    """Whether names may be added to, renamed in and removed from `directory`."""
    return permission_bits(directory, uid, gid) & 0o3 == 0o3


def may_remove(directory: Inode, inode: Inode, uid: int, gid: int) -> bool:
    """Whether the entry of `inode` may be removed from `directory`; the sticky bit keeps it for the owners."""
    if not may_change_entries(directory, uid, gid):
        return False
    return not directory.mode & stat.S_ISVTX or uid in (0, inode.uid, directory.uid)


def may_link(inode: Inode, uid: int, gid: int) -> bool:
    """Whether the file may get a further name: its owner's right, and that of who may read and write it.

    What fs.protected_hardlinks of Linux asks on the mount. A name in a folder of one's own carries the right to delete,
    which must not be had for the files of others.
    """
    return uid in (0, inode.uid) or permission_bits(inode, uid, gid) & 0o6 == 0o6


def maximal_access(inode: Inode, parent: Inode | None, uid: int, gid: int) -> int:
    """Everything that user may ask of `inode`; `parent` is the directory it is reached by, None at a share's root.

    Reading includes FILE_EXECUTE for files: a client runs a program by reading it, and the usual FILE_ALL_ACCESS of an owner
    must not fail on a file without x bits. DELETE comes from the parent's w bit or from ownership.
    """
    if uid == 0:
        return FILE_ALL_ACCESS
    bits = permission_bits(inode, uid, gid)
    access = _FOR_ALL
    if bits & 0o4:
        access |= _BY_READ
    if bits & 0o2:
        access |= _BY_WRITE
    if bits & 0o1:
        access |= FILE_EXECUTE
    if uid == inode.uid:
        access |= _BY_OWNER
    if parent is not None and may_remove(parent, inode, uid, gid):
        access |= DELETE
    return access


def expand_generic(desired: int) -> int:
    """`desired` with the GENERIC bits replaced by what they mean for files; MAXIMUM_ALLOWED stays in it."""
    access = desired & ~(GENERIC_READ | GENERIC_WRITE | GENERIC_EXECUTE | GENERIC_ALL)
    if desired & GENERIC_READ:
        access |= FILE_GENERIC_READ
    if desired & GENERIC_WRITE:
        access |= FILE_GENERIC_WRITE
    if desired & GENERIC_EXECUTE:
        access |= FILE_GENERIC_EXECUTE
    if desired & GENERIC_ALL:
        access |= FILE_ALL_ACCESS
    return access


def grant(desired: int, maximal: int) -> int:
    """The access an open gets for `desired` (raw, from the wire) out of `maximal`.

    Raises SmbError: ACCESS_DENIED for nothing, unknown bits or more than `maximal`; PRIVILEGE_NOT_HELD for the audit list,
    which nobody here may read.
    """
    if desired & ACCESS_SYSTEM_SECURITY:
        raise SmbError(Status.PRIVILEGE_NOT_HELD)
    if desired == 0 or desired & ~_VALID:
        raise SmbError(Status.ACCESS_DENIED)
    wanted = expand_generic(desired)
    if wanted & MAXIMUM_ALLOWED:
        wanted = (wanted & ~MAXIMUM_ALLOWED) | maximal
    if wanted & ~maximal:
        raise SmbError(Status.ACCESS_DENIED)
    return wanted


def require(granted: int, any_of: int) -> None:
    """Refuse a call with ACCESS_DENIED when the open was granted none of the rights `any_of`."""
    if not granted & any_of:
        raise SmbError(Status.ACCESS_DENIED)
