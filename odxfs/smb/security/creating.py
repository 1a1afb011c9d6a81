"""What CREATE makes of a SecD context and of the folder's descriptor (MS-SMB2 3.3.5.9.2, MS-FSA 2.1.5.1.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from odxfs.ntstatus import Status
from odxfs.smb.access import stored_security
from odxfs.smb.limits import MAX_SECURITY_DESCRIPTOR_BYTES
from odxfs.smb.request import RequestContext, SmbError
from odxfs.smb.security.inheritance import inherited, new_descriptor
from odxfs.smb.security.posix import gid_of, keeps_gid, mode_of, uid_of
from odxfs.smb.security.token import Privilege, Token
from odxfs.wire.create_contexts import SD_BUFFER, find_create_context
from odxfs.wire.fscc.security_descriptor import Control, SecurityDescriptor

if TYPE_CHECKING:
    from odxfs.volume import Inode
    from odxfs.wire.create import CreateRequest


@dataclass(frozen=True, slots=True)
class NewSecurity:
    """Owner, group, mode and descriptor of a new file; `stored` is b"" where the mode says everything."""

    uid: int
    gid: int
    mode: int
    stored: bytes = b""


def security_of_new(
    context: RequestContext, request: CreateRequest, parent: Inode, mode: int, *, is_directory: bool
) -> NewSecurity:
    """What a file made in `parent` gets; `mode` with its kind is that of one for which no descriptor says anything.

    SmbError: INVALID_OWNER, PRIVILEGE_NOT_HELD. ProtocolError (INVALID_SECURITY_DESCR).
    """
    token, data = context.token, find_create_context(request.create_contexts, SD_BUFFER)
    above = stored_security(parent)
    if data is None and not above:
        return NewSecurity(token.uid, token.gid, mode)
    if data is None:
        stored = inherited(above, token.user, token.primary_group, is_directory=is_directory)
        return _with_mode(context, stored, SecurityDescriptor.unpack(stored), parent, mode)
    given = SecurityDescriptor.unpack(data)
    check_owner(given, token)
    if given.control & Control.SACL_PRESENT and Privilege.SECURITY not in token.privileges:
        raise SmbError(Status.PRIVILEGE_NOT_HELD)
    owner, group = given.owner or token.user, given.group or token.primary_group
    from_above = SecurityDescriptor.unpack(above) if above else SecurityDescriptor()
    made = new_descriptor(from_above, given, owner, group, is_directory=is_directory)
    says_more = given.control & (Control.DACL_PRESENT | Control.SACL_PRESENT) or owner != token.user
    if not above and not says_more:
        return NewSecurity(token.uid, token.gid, mode)
    return _with_mode(context, made.pack(), made, parent, mode)


def check_owner(given: SecurityDescriptor, token: Token) -> None:
    """Refuse with INVALID_OWNER what names an owner that this user may not make one."""
    if given.owner is not None and not token.may_own(given.owner):
        raise SmbError(Status.INVALID_OWNER)


def check_size(stored: bytes) -> bytes:
    """`stored`, unless it is longer than what is kept: INVALID_SECURITY_DESCR."""
    if len(stored) > MAX_SECURITY_DESCRIPTOR_BYTES:
        raise SmbError(Status.INVALID_SECURITY_DESCR, f"a security descriptor of {len(stored)} bytes")
    return stored


def _with_mode(
    context: RequestContext, stored: bytes, made: SecurityDescriptor, parent: Inode, mode: int
) -> NewSecurity:
    users, token = context.server.users, context.token
    uid = token.uid if made.owner == token.user else uid_of(made.owner, users)
    gid = keeps_gid(parent, group_for(made, token, context, token.gid))
    bits = mode_of(made, mode, gid, users)
    return NewSecurity(uid, gid, mode & ~0o7777 | bits, check_size(stored))


def group_for(descriptor: SecurityDescriptor, token: Token, context: RequestContext, otherwise: int) -> int:
    """The gid for a descriptor's group, if the user may give files to it (chown(2)): one of his own, and root any."""
    gid = gid_of(descriptor.group, context.server.users)
    return gid if gid is not None and (token.uid == 0 or gid in token.gids) else otherwise
