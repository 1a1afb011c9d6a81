"""TREE_CONNECT: a session takes up a share (MS-SMB2 3.3.5.7)."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from odxfs.errors import NotADirectory, NotFound, UserError
from odxfs.ntstatus import Status
from odxfs.smb.access import FILE_ALL_ACCESS, READ_ONLY_ACCESS, maximal_access
from odxfs.smb.limits import MAX_TREES_PER_SESSION
from odxfs.smb.paths import share_root
from odxfs.smb.request import RequestContext, SmbError
from odxfs.smb.sessions import Session, SessionState
from odxfs.smb.shares import Share
from odxfs.smb.token_share import check_user
from odxfs.smb.trees import Tree, View
from odxfs.smb.withdrawal import is_served
from odxfs.wire.negotiate import Dialect
from odxfs.wire.negotiate_contexts import Cipher
from odxfs.wire.tree_connect import (
    ShareCapabilities,
    ShareFlags,
    ShareType,
    TreeConnectRequest,
    TreeConnectResponse,
)

ORIGIN = "smb"
"""What changes made through a share are marked with."""

logger = logging.getLogger(__name__)


async def tree_connect(context: RequestContext) -> TreeConnectResponse:
    """Connect the session to the share that the path names. SmbError: BAD_NETWORK_NAME, ACCESS_DENIED."""
    request = TreeConnectRequest.unpack(context.pdu)
    session = context.session
    _check_signed(context)
    share = _find_share(context, _share_name(request.path))
    check_user(session.user, share)
    if share.encrypt_required and context.connection.protocol.cipher == Cipher.NONE:
        raise SmbError(Status.ACCESS_DENIED, "the share wants encryption and the connection has none")
    tree = await _connect(context, session, share)
    _require_all_stands(context, session, share)
    if len(session.trees) >= MAX_TREES_PER_SESSION:
        raise SmbError(Status.INSUFFICIENT_RESOURCES, "too many tree connects in one session")
    session.trees[tree.id] = tree
    session.next_tree_id += 1
    context.bound_tree = tree
    context.reply_tree_id = tree.id
    return TreeConnectResponse(
        share_type=ShareType.PIPE if tree.is_ipc else ShareType.DISK,
        maximal_access=tree.maximal_access,
        capabilities=_capabilities(context, tree),
        share_flags=_flags(tree),
    )


def _flags(tree: Tree) -> int:
    flags = ShareFlags.NO_CACHING
    if tree.encrypt_data:
        flags |= ShareFlags.ENCRYPT_DATA
    if tree.share.access_based_enumeration:
        flags |= ShareFlags.ACCESS_BASED_DIRECTORY_ENUM
    return flags


def _capabilities(context: RequestContext, tree: Tree) -> int:
    """A share is continuously available to a client that knows what that means (3.3.5.7)."""
    if tree.share.continuously_available and context.connection.dialect >= Dialect.SMB_3_0:
        return ShareCapabilities.CONTINUOUS_AVAILABILITY
    return 0


def _check_signed(context: RequestContext) -> None:
    """From 3.1.1 on a tree connect must prove that nobody sits in between, whatever is required (3.3.5.7)."""
    if context.connection.dialect == Dialect.SMB_3_1_1 and not (context.request.signed or context.encrypted):
        context.connection.abort("a tree connect that is neither signed nor encrypted")
        raise SmbError(Status.ACCESS_DENIED)


def _share_name(path: str) -> str:
    r"""The share in \\server\share; SmbError(INVALID_PARAMETER) for a path of another shape."""
    parts = path.split("\\")
    if len(parts) != 4 or parts[0] or parts[1] or not parts[3]:
        raise SmbError(Status.INVALID_PARAMETER, f"{path!r} is not \\\\server\\share")
    return parts[3]


def _find_share(context: RequestContext, name: str) -> Share:
    with _readable():
        share = context.server.shares.find(name)
    if share is None:
        raise SmbError(Status.BAD_NETWORK_NAME, f"there is no share {name!r}")
    return share


def _require_all_stands(context: RequestContext, session: Session, share: Share) -> None:
    """Behind the last wait: the share, its volume or the user may have been taken away meanwhile."""
    if session.state is SessionState.CLOSED:
        raise SmbError(Status.USER_SESSION_DELETED)
    with _readable():
        if not is_served(context.server, share):
            raise SmbError(Status.BAD_NETWORK_NAME, f"share {share.name!r} is this server's no more")


@contextmanager
def _readable() -> Iterator[None]:
    """Inside, the shares are looked at; SmbError(BAD_NETWORK_NAME) when they cannot be read."""
    try:
        yield
    except UserError as error:
        logger.error("no share can be connected: %s", error)
        raise SmbError(Status.BAD_NETWORK_NAME) from error


async def _connect(context: RequestContext, session: Session, share: Share) -> Tree:
    if share.is_ipc:
        return Tree(session.next_tree_id, session, share, None, FILE_ALL_ACCESS)
    if share.is_tokens:
        files = context.server.engine.token_files(context.server.pool, ORIGIN)
        return Tree(
            session.next_tree_id, session, share, View(files, files.root), READ_ONLY_ACCESS, True, True
        )
    try:
        volume = context.server.pool.volume(share.volume, ORIGIN)
        root = await share_root(volume, share.path, context.token)
    except (NotFound, NotADirectory) as error:
        raise SmbError(Status.BAD_NETWORK_NAME, f"share {share.name!r} leads nowhere: {error}") from error
    access = maximal_access(await volume.inode(root), None, context.token)
    if share.read_only:
        access &= READ_ONLY_ACCESS
    return Tree(session.next_tree_id, session, share, View(volume, root), access, share.encrypt_required)
