"""What a user may do with an inode, as an access mask (MS-SMB2 2.2.13.1), and what an open is granted of what it asks for.

An inode with a stored security descriptor is judged by that alone (`security/check.py`), any other by owner, group and mode.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from odxfs.ntstatus import Status
from odxfs.smb.request import SmbError
from odxfs.smb.security.check import allowed, map_generic

if TYPE_CHECKING:
    from odxfs.smb.security.token import Token
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
_ALL_TO_READ = FILE_GENERIC_READ & ~SYNCHRONIZE
_READ_AND_WRITE = FILE_READ_DATA | FILE_WRITE_DATA
_BY_OWNER = FILE_WRITE_ATTRIBUTES | WRITE_DAC | WRITE_OWNER | DELETE


def permission_bits(inode: Inode, token: Token) -> int:
    """The rwx bits (0 to 7) that the mode of `inode` has for that user; root has all.

    A symbolic link's mode says nothing: everybody may read it, and it is its owner's to change.
    """
    if token.uid == 0:
        return 0o7
    if token.uid == inode.uid:
        return inode.mode >> 6 & 0o7
    if inode.is_symlink:
        return 0o5
    if inode.gid in token.gids:
        return inode.mode >> 3 & 0o7
    return inode.mode & 0o7


def rights(inode: Inode, token: Token) -> int:
    """What the inode's own descriptor gives to that user: the stored one, else the mode.

    Like all here it needs `inode.security`, which `Volume.security` gets.
    """
    stored = stored_security(inode)
    return allowed(stored, token) if stored else rights_by_mode(inode, token)


def stored_security(inode: Inode) -> bytes:
    """The descriptor that is kept for the inode, b"" for none; a bug when nobody has asked `Volume.security` for it."""
    stored = inode.security
    assert stored is not None, f"nobody has looked for the security of {inode!r}"
    return stored


def may_traverse(directory: Inode, token: Token) -> bool:
    """Whether a path may lead through `directory`: FILE_TRAVERSE, which for a mode is the x bit, as on the mount.

    Only administrators hold SeChangeNotifyPrivilege here, by which Windows lets everybody's paths lead through everything
    unless it is configured otherwise: what lies in a folder is closed together with it. The owner of a stored descriptor may
    pass, since he may open the folder to himself at any time.
    """
    if not stored_security(directory):
        return bool(permission_bits(directory, token) & 0o1)
    return token.uid == 0 or bool(rights(directory, token) & (FILE_TRAVERSE | WRITE_DAC))


def may_list(directory: Inode, token: Token) -> bool:
    """Whether the user may come to know what is in `directory`, by its path."""
    return may_traverse(directory, token) and bool(rights(directory, token) & FILE_LIST_DIRECTORY)


def is_listed(inode: Inode, token: Token) -> bool:
    """Whether a share with access based enumeration shows the user `inode`: all that FILE_GENERIC_READ is made of."""
    return rights(inode, token) & _ALL_TO_READ == _ALL_TO_READ


def may_change_entries(directory: Inode, token: Token, right: int = FILE_ADD_FILE) -> bool:
    """Whether names may be added to `directory`: of files, or of directories (`right` is FILE_ADD_SUBDIRECTORY)."""
    if stored_security(directory):
        return bool(rights(directory, token) & right)
    return permission_bits(directory, token) & 0o3 == 0o3


def may_remove(directory: Inode, inode: Inode, token: Token) -> bool:
    """Whether the entry of `inode` may be removed from `directory`: its FILE_DELETE_CHILD, or DELETE of the inode itself.

    For a mode the first is the w bit, and the sticky bit keeps the entry for the owners.
    """
    if stored_security(inode) and rights(inode, token) & DELETE:
        return True
    if stored_security(directory):
        return bool(rights(directory, token) & FILE_DELETE_CHILD)
    if not may_change_entries(directory, token):
        return False
    return not directory.mode & stat.S_ISVTX or token.uid in (0, inode.uid, directory.uid)


def may_delete(directory: Inode, inode: Inode, token: Token) -> bool:
    """Whether who has DELETE of the inode may take its entry from `directory`: by a mode, its w bit counts as well."""
    return bool(stored_security(directory)) or may_remove(directory, inode, token)


def may_link(inode: Inode, token: Token) -> bool:
    """Whether the file may get a further name: its owner's right, and that of who may read and write it.

    What fs.protected_hardlinks of Linux asks on the mount. A name in a folder of one's own carries the right to delete,
    which must not be had for the files of others.
    """
    if stored_security(inode):
        granted = rights(inode, token)
        return bool(granted & WRITE_DAC) or granted & _READ_AND_WRITE == _READ_AND_WRITE
    return token.uid in (0, inode.uid) or permission_bits(inode, token) & 0o6 == 0o6


def maximal_access(inode: Inode, parent: Inode | None, token: Token, *, of_stream: bool = False) -> int:
    """Everything that user may ask of `inode`; `parent` is the directory it is reached by, None at a share's root.

    Besides what the inode itself gives, a folder gives DELETE of what is in it to who may delete its children, and
    FILE_READ_ATTRIBUTES to who may list it (MS-FSA 2.1.5.1.2.1). DELETE of a named stream (`of_stream`) it gives only to who may
    write the file: with a stream its bytes go, and those are every other name's of the file as well.
    """
    access = rights(inode, token)
    if parent is None or access == FILE_ALL_ACCESS:
        return access
    if (access & FILE_WRITE_DATA or not of_stream) and may_remove(parent, inode, token):
        access |= DELETE
    if not access & FILE_READ_ATTRIBUTES and rights(parent, token) & FILE_LIST_DIRECTORY:
        access |= FILE_READ_ATTRIBUTES
    return access


def rights_by_mode(inode: Inode, token: Token) -> int:
    """What the mode gives. Reading includes FILE_EXECUTE for files: a client runs a program by reading it, and the usual
    FILE_ALL_ACCESS of an owner must not fail on a file without x bits. The reverse does not hold: with FILE_EXECUTE a file can be
    read, so the x bit without the r bit gives nothing. An owner has DELETE for the sake of FILE_ALL_ACCESS, too; whether he may
    use it is for his folder to say (`may_delete`).
    """
    if token.uid == 0:
        return FILE_ALL_ACCESS
    bits = permission_bits(inode, token)
    if inode.is_file and not bits & 0o4:
        bits &= ~0o1
    return access_of_bits(bits, owner=token.uid == inode.uid)


def access_of_bits(bits: int, *, owner: bool = False) -> int:
    """The rights that rwx bits stand for, with those that only an owner has."""
    access = _FOR_ALL
    if bits & 0o4:
        access |= _BY_READ
    if bits & 0o2:
        access |= _BY_WRITE
    if bits & 0o1:
        access |= FILE_EXECUTE
    return access | _BY_OWNER if owner else access


def by_privilege(desired: int, token: Token, *, backup_intent: bool) -> int:
    """What privileges add for an open that asks for `desired` (MS-DTYP 2.5.3.2, MS-FSA 2.1.5.1.2).

    SeSecurity and SeTakeOwnership add what is asked for by name; MAXIMUM_ALLOWED means what the descriptor allows.
    """
    return desired & token.rights_by_name | (token.rights_by_intent if backup_intent else 0)


expand_generic = map_generic
"""A mask from the wire with the GENERIC bits replaced by what they mean for files; MAXIMUM_ALLOWED stays in it."""


def check_desired(desired: int) -> None:
    """Refuse with ACCESS_DENIED what asks for nothing or for rights that there are not: the first check of MS-FSA 2.1.5.1."""
    if desired == 0 or desired & ~_VALID:
        raise SmbError(Status.ACCESS_DENIED)


def grant(desired: int, maximal: int) -> int:
    """The access an open gets for `desired` (raw, from the wire) out of `maximal`.

    Raises SmbError: ACCESS_DENIED for nothing, also when MAXIMUM_ALLOWED comes to nothing (MS-DTYP 2.5.3.2), for unknown bits and
    for more than `maximal`; PRIVILEGE_NOT_HELD for the audit list (ACCESS_SYSTEM_SECURITY) when that is not in `maximal`.
    """
    if desired & ACCESS_SYSTEM_SECURITY & ~maximal:
        raise SmbError(Status.PRIVILEGE_NOT_HELD)
    check_desired(desired)
    wanted = expand_generic(desired)
    if wanted & MAXIMUM_ALLOWED:
        wanted = (wanted & ~MAXIMUM_ALLOWED) | maximal & FILE_ALL_ACCESS
    if not wanted or wanted & ~maximal:
        raise SmbError(Status.ACCESS_DENIED)
    return wanted


def require(granted: int, any_of: int) -> None:
    """Refuse a call with ACCESS_DENIED when the open was granted none of the rights `any_of`."""
    if not granted & any_of:
        raise SmbError(Status.ACCESS_DENIED)
