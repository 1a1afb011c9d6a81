"""One look at a peer: does it let us in, and which pool does it serve?"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import trio

from odxfs.client.client import Client, connect
from odxfs.client.errors import LogonFailed, NetworkFailed, RequestRefused
from odxfs.client.session import expect_success
from odxfs.client.tree import Tree
from odxfs.errors import ExitCode, UserError
from odxfs.wire.access_mask import Access, ShareAccess
from odxfs.wire.close import CloseRequest
from odxfs.wire.create import CreateDisposition, CreateRequest, CreateResponse
from odxfs.wire.file_id import FileId
from odxfs.wire.fscc.file_system_information import FileFsObjectIdInformation
from odxfs.wire.header import Command
from odxfs.wire.negotiate import Dialect
from odxfs.wire.query_info import InfoType, QueryInfoRequest, QueryInfoResponse

TOKENS_SHARE = "TOKENS$"
PROBE_SECONDS = 10.0
_OBJECT_ID_ROOM = 64


@asynccontextmanager
async def connect_to_tokens(
    address: str, port: int, user: str, password: str
) -> AsyncIterator[tuple[Client, Tree]]:
    """A sealed SMB 3.1.1 session on a server's share of tokens.

    Raises NetworkFailed, LogonFailed, RequestRefused when the account is not let onto the share.
    """
    async with connect(address, port, user, password, dialects=(Dialect.SMB_3_1_1,), encrypt=True) as client:
        yield client, await client.tree(TOKENS_SHARE)


async def pool_behind(tree: Tree) -> UUID:
    """The pool that the share of tokens belongs to. Raises NetworkFailed, RequestRefused."""
    request = CreateRequest("", Access.FILE_READ_ATTRIBUTES, ShareAccess.ALL, CreateDisposition.OPEN)
    response = expect_success(await tree.call(Command.CREATE, request.pack()), tree.name)
    root = CreateResponse.unpack(response.pdu).file_id
    pool = await _object_id(tree, root)
    expect_success(await tree.call(Command.CLOSE, CloseRequest(root).pack()), tree.name)
    return pool


async def _object_id(tree: Tree, root: FileId) -> UUID:
    kind = FileFsObjectIdInformation
    request = QueryInfoRequest(
        InfoType.FILESYSTEM, kind.INFO_CLASS, root, output_buffer_length=_OBJECT_ID_ROOM
    )
    response = expect_success(await tree.call(Command.QUERY_INFO, request.pack()), tree.name)
    return UUID(bytes_le=kind.unpack(QueryInfoResponse.unpack(response.pdu).output_buffer).object_id)


async def probe_peer(address: str, port: int, user: str, password: str) -> UUID:
    """The pool of the server there. Raises UserError that says what failed: the network, the logon, or the right."""
    try:
        with trio.fail_after(PROBE_SECONDS):
            async with connect_to_tokens(address, port, user, password) as (_, tree):
                return await pool_behind(tree)
    except trio.TooSlowError as error:
        raise NetworkFailed(f"{address}:{port} does not answer within {PROBE_SECONDS:.0f} s") from error
    except (LogonFailed, NetworkFailed):
        raise
    except RequestRefused as error:
        raise UserError(
            f"{address}:{port} knows user {user!r} but does not let it read tokens: on that server the account must be added "
            "with 'odxfs user add --peer'",
            ExitCode.REFUSED,
        ) from error
