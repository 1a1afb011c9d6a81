"""The hidden share of tokens: where another server fetches what a token of this pool stands for.

It is in no list, takes only accounts that are servers' (`User.peer`), and is encrypted always. Its root can be opened and asked
for the pool's identity (FileFsObjectIdInformation, MS-FSCC 2.5.6) and nothing else. A file is opened by the 512 bytes of
a token in hexadecimal digits, so that only who holds the token opens it; opening and reading are uses of the token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from odxfs.ntstatus import Status
from odxfs.offload import TOKEN_BYTES
from odxfs.opens.share_modes import FILE_SHARE_READ
from odxfs.smb.access import FILE_READ_ATTRIBUTES, FILE_READ_DATA, SYNCHRONIZE, grant
from odxfs.smb.opens import SmbOpen, require_room
from odxfs.smb.request import SmbError
from odxfs.wire.create import CreateAction, CreateDisposition, CreateOptions, CreateRequest
from odxfs.wire.fscc.classes import FileSystemInformationClass
from odxfs.wire.fsctl.codes import Fsctl
from odxfs.wire.header import Command
from odxfs.wire.query_info import InfoType, QueryInfoRequest

if TYPE_CHECKING:
    from odxfs.offload import TokenFiles
    from odxfs.smb.auth.users import User
    from odxfs.smb.request import RequestContext
    from odxfs.smb.shares import Share
    from odxfs.volume import Inode

_COMMANDS = frozenset(
    {
        Command.CREATE,
        Command.READ,
        Command.IOCTL,
        Command.QUERY_INFO,
        Command.CLOSE,
        Command.TREE_DISCONNECT,
    }
)
_CONTROL_CODES = frozenset({Fsctl.QUERY_ALLOCATED_RANGES, Fsctl.VALIDATE_NEGOTIATE_INFO})
_ROOT_ACCESS = FILE_READ_ATTRIBUTES | SYNCHRONIZE
_FILE_ACCESS = _ROOT_ACCESS | FILE_READ_DATA


def check_user(user: User | None, share: Share) -> None:
    """ACCESS_DENIED unless both or neither belong to servers: their accounts see nothing but tokens, and nobody else does."""
    if user is None or user.peer != share.is_tokens:
        raise SmbError(Status.ACCESS_DENIED, f"{share.name} is not for this account")


def check_command(command: int) -> None:
    """ACCESS_DENIED for a command that this share has no use for."""
    if command not in _COMMANDS:
        raise SmbError(Status.ACCESS_DENIED, "tokens can be opened and read")


def check_control_code(code: int) -> None:
    """ACCESS_DENIED for an FSCTL that this share has no use for."""
    if code not in _CONTROL_CODES:
        raise SmbError(Status.ACCESS_DENIED, "tokens can be opened and read")


def check_query(request: QueryInfoRequest) -> None:
    """ACCESS_DENIED for any question but the one for the pool's identity."""
    asked = (request.info_type, request.file_info_class)
    if asked != (InfoType.FILESYSTEM, FileSystemInformationClass.OBJECT_ID):
        raise SmbError(Status.ACCESS_DENIED, "a token tells nothing but its bytes")


async def open_token(context: RequestContext, request: CreateRequest) -> tuple[SmbOpen, CreateAction]:
    """Open the root or a token's file to read. OffloadRefused with what is wrong with the token; SmbError."""
    if request.create_disposition not in (CreateDisposition.OPEN, CreateDisposition.OPEN_IF):
        raise SmbError(Status.ACCESS_DENIED)
    if request.create_options & CreateOptions.DELETE_ON_CLOSE:
        raise SmbError(Status.ACCESS_DENIED)
    files: TokenFiles = context.tree.tokens
    if not request.name:
        return _register(context, request, await files.inode(files.root), _ROOT_ACCESS), CreateAction.OPENED
    inode = await files.open_token(_token(request.name))
    return _register(context, request, inode, _FILE_ACCESS), CreateAction.OPENED


def _token(name: str) -> bytes:
    """The token that a name stands for; OBJECT_NAME_NOT_FOUND for other names."""
    try:
        token = bytes.fromhex(name)
    except ValueError:
        token = b""
    if len(token) != TOKEN_BYTES or len(name) != 2 * TOKEN_BYTES:
        raise SmbError(Status.OBJECT_NAME_NOT_FOUND)
    return token


def _register(context: RequestContext, request: CreateRequest, inode: Inode, maximal: int) -> SmbOpen:
    server = context.server
    require_room(context.session)
    opened = SmbOpen(
        fid=server.registry.new_file_id(),
        session=context.session,
        tree=context.tree,
        path="",
        granted_access=grant(request.desired_access, maximal),
        share_access=request.share_access,
        create_options=request.create_options,
        attached_view=context.tree.view,
        attached_inode=inode,
        is_directory=inode.is_directory,
    )
    # Several servers may read one token, whatever each says of sharing; nobody writes.
    opened.entry = server.opens.open(inode.number, opened.granted_access, FILE_SHARE_READ, opened)
    server.registry.add(opened)
    return opened
