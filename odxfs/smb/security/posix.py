"""Between Windows' owners and access lists and the owner, group and mode that the mount goes by.

One rule: the mode never gives anybody more than the list does. POSIX knows three classes, a list any number of SIDs, so a class
is given what entries for SIDs that all of it has allow, and denied what an entry denies to anybody who might be in it.
"""

from __future__ import annotations

import stat
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from odxfs.smb.security.check import rights_in
from odxfs.wire.access_mask import Access
from odxfs.wire.fscc.sid import (
    ADMINISTRATORS,
    AUTHENTICATED_USERS,
    EVERYONE,
    LOCAL_SYSTEM,
    OWNER_RIGHTS,
    USERS,
    Sid,
    unix_group,
    unix_user,
)

if TYPE_CHECKING:
    from odxfs.smb.auth.users import UserStore
    from odxfs.volume import Inode
    from odxfs.wire.fscc.security_descriptor import SecurityDescriptor

_UNIX_AUTHORITY = 22
_FILE_BITS = (
    (0o4, Access.FILE_READ_DATA | Access.FILE_READ_EA),
    (
        0o2,
        Access.FILE_WRITE_DATA
        | Access.FILE_APPEND_DATA
        | Access.FILE_WRITE_EA
        | Access.FILE_WRITE_ATTRIBUTES,
    ),
    (0o1, Access.FILE_EXECUTE),
)
_DIRECTORY_BITS = (
    (0o4, Access.FILE_LIST_DIRECTORY | Access.FILE_READ_EA),
    (
        0o2,
        Access.FILE_ADD_FILE
        | Access.FILE_ADD_SUBDIRECTORY
        | Access.FILE_WRITE_EA
        | Access.FILE_WRITE_ATTRIBUTES,
    ),
    (0o1, Access.FILE_TRAVERSE),
)


def uid_of(owner: Sid | None, users: UserStore) -> int:
    """The uid that stands for an owner: a local user's, that of S-1-22-1-uid, root's for administrators and strangers.

    65534, as NFS has it for strangers, will not do: daemons run as that, and who owns a file opens it to himself.
    """
    if owner in (ADMINISTRATORS, LOCAL_SYSTEM):
        return 0
    if (
        owner is not None
        and owner.identifier_authority == _UNIX_AUTHORITY
        and owner.sub_authorities[:-1] == (1,)
    ):
        return owner.sub_authorities[1]
    return next((user.uid for user in users.list() if user.sid == str(owner)), 0)


def gid_of(group: Sid | None, users: UserStore) -> int | None:
    """The gid of a group: a local group's, that of S-1-22-2-gid; None for others."""
    if (
        group is not None
        and group.identifier_authority == _UNIX_AUTHORITY
        and group.sub_authorities[:-1] == (2,)
    ):
        return group.sub_authorities[1]
    return next((local.gid for local in users.groups.list() if local.sid == str(group)), None)


def owner_sid(uid: int, users: Iterable[tuple[int, str]]) -> Sid:
    """The SID of the first of those users (uid, SID) who acts as `uid`, else S-1-22-1-uid."""
    for each, sid in users:
        if each == uid:
            return Sid.parse(sid)
    return unix_user(uid)


def mode_of(descriptor: SecurityDescriptor, inode_mode: int, gid: int, users: UserStore) -> int:
    """The permission bits for a file with that list, and of the group `gid`.

    Of `inode_mode` the kind is looked at, and a directory's setgid stays. setuid and setgid of a file go, as with chown(2). A
    directory that gives the right to add but not that to delete children is sticky: then each deletes his own.
    """
    is_directory = stat.S_ISDIR(inode_mode)
    rights = (
        _rights_of_owner(descriptor, users),
        _rights_of(descriptor, _group_sids(gid, users)),
        _rights_of(descriptor, (EVERYONE,)),
    )
    mode = 0
    for each in rights:
        mode = mode << 3 | _bits(each, is_directory=is_directory)
    if not is_directory:
        return mode
    sticky = any(
        _bits(each, is_directory=True) & 0o2 and not each & Access.FILE_DELETE_CHILD for each in rights
    )
    return mode | inode_mode & stat.S_ISGID | (stat.S_ISVTX if sticky else 0)


def keeps_gid(parent: Inode, gid: int) -> int:
    """The gid of what is made in `parent` by somebody of group `gid`: a setgid folder gives its own."""
    return parent.gid if parent.mode & stat.S_ISGID else gid


def _bits(rights: int, *, is_directory: bool) -> int:
    table = _DIRECTORY_BITS if is_directory else _FILE_BITS
    return sum(bit for bit, needed in table if rights & needed == needed)


def _rights_of_owner(descriptor: SecurityDescriptor, users: UserStore) -> int:
    """The owner's: other users of this server are not him, so what is denied to them is not to him."""
    owner = descriptor.owner
    if owner is None:
        return 0
    others = {Sid.parse(user.sid) for user in users.list()} - {owner}
    certain = (owner, OWNER_RIGHTS, EVERYONE, AUTHENTICATED_USERS, USERS)
    return rights_in(descriptor.dacl, certain, lambda sid: sid not in others)


def _rights_of(descriptor: SecurityDescriptor, certain: Collection[Sid]) -> int:
    return rights_in(descriptor.dacl, certain, lambda sid: True)


def _group_sids(gid: int, users: UserStore) -> tuple[Sid, ...]:
    local = (Sid.parse(group.sid) for group in users.groups.list() if group.gid == gid)
    return (unix_group(gid), *local, EVERYONE)
