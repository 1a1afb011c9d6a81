"""Security descriptors made from POSIX owner, group and mode (MS-SMB2 3.3.5.20.3, MS-FSA 2.1.5.14).

Nothing is stored: what a client reads says in Windows' words what the volume enforces. A user of this server is shown by
his SID, other owners as S-1-22-1-uid, groups as S-1-22-2-gid.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from odxfs.ntstatus import Status
from odxfs.smb.access import (
    ACCESS_SYSTEM_SECURITY,
    DELETE,
    FILE_ALL_ACCESS,
    FILE_DELETE_CHILD,
    READ_CONTROL,
    maximal_access,
    require,
)
from odxfs.smb.information.answer import Information
from odxfs.smb.request import SmbError
from odxfs.wire.fscc.security_descriptor import Ace, AceType, Acl, Control, SecurityDescriptor
from odxfs.wire.fscc.sid import EVERYONE, Sid, unix_group, unix_user
from odxfs.wire.query_info import SecurityInformation

if TYPE_CHECKING:
    from odxfs.smb.opens import SmbOpen
    from odxfs.smb.request import RequestContext
    from odxfs.volume import Inode
    from odxfs.wire.query_info import QueryInfoRequest

_NOBODY = -1
_LENGTH = struct.Struct("<I")


def query_security(context: RequestContext, opened: SmbOpen, request: QueryInfoRequest) -> Information:
    """The parts asked for. SmbError: ACCESS_DENIED; BUFFER_TOO_SMALL, whose data is the size that is needed."""
    parts = request.additional_information
    require(opened.granted_access, READ_CONTROL)
    if parts & SecurityInformation.SACL:
        require(opened.granted_access, ACCESS_SYSTEM_SECURITY)
    data = describe(context, opened.inode, parts).pack()
    if len(data) > request.output_buffer_length:
        raise SmbError(Status.BUFFER_TOO_SMALL, data=_LENGTH.pack(len(data)))
    return Information(data, 0)


def describe(context: RequestContext, inode: Inode, parts: int) -> SecurityDescriptor:
    """The descriptor of `inode`, with those parts of it that SecurityInformation bits name."""
    owner = _user_sid(context, inode.uid)
    group = unix_group(inode.gid)
    return SecurityDescriptor(
        owner=owner if parts & SecurityInformation.OWNER else None,
        group=group if parts & SecurityInformation.GROUP else None,
        dacl=_dacl(inode, owner, group) if parts & SecurityInformation.DACL else None,
        control=Control.SELF_RELATIVE | Control.DACL_PROTECTED,
    )


def _user_sid(context: RequestContext, uid: int) -> Sid:
    users = [context.session.user] if context.session.uid == uid else context.server.users.list()
    for user in users:
        if user is not None and user.uid == uid:
            return Sid.parse(user.sid)
    return unix_user(uid)


def _dacl(inode: Inode, owner: Sid, group: Sid) -> Acl:
    """Owner, group, everyone, as POSIX tries them; a deny entry where a later one would give what the mode does not."""
    owner_mask = FILE_ALL_ACCESS if inode.uid == 0 else maximal_access(inode, None, inode.uid, _NOBODY)
    group_mask = maximal_access(inode, None, _NOBODY, inode.gid) & ~FILE_DELETE_CHILD
    others_mask = maximal_access(inode, None, _NOBODY, _NOBODY) & ~FILE_DELETE_CHILD
    aces = [
        *_deny(owner, (group_mask | others_mask) & ~owner_mask),
        Ace(AceType.ACCESS_ALLOWED, 0, owner_mask | DELETE, owner),
        *_deny(group, others_mask & ~group_mask),
        Ace(AceType.ACCESS_ALLOWED, 0, group_mask, group),
        Ace(AceType.ACCESS_ALLOWED, 0, others_mask, EVERYONE),
    ]
    return Acl(tuple(aces))


def _deny(sid: Sid, mask: int) -> list[Ace]:
    return [Ace(AceType.ACCESS_DENIED, 0, mask, sid)] if mask else []
