"""A share that a session is connected to."""

from odxfs.client.connection import Pending
from odxfs.client.errors import NetworkFailed, RequestRefused
from odxfs.client.explain import sentence_of
from odxfs.client.file import SmbFile
from odxfs.client.metadata import Metadata
from odxfs.client.session import Session, expect_success
from odxfs.ntstatus import Status
from odxfs.types import Buffer
from odxfs.wire.access_mask import Access, ShareAccess
from odxfs.wire.client_connection import Response
from odxfs.wire.create import (
    CreateDisposition,
    CreateOptions,
    CreateRequest,
    CreateResponse,
    RawContext,
)
from odxfs.wire.create_contexts import TIMEWARP_TOKEN, TimewarpToken
from odxfs.wire.file_id import ANY
from odxfs.wire.fscc.classes import FileAttributes
from odxfs.wire.fscc.filetime import from_ns
from odxfs.wire.fsctl.codes import Fsctl
from odxfs.wire.fsctl.validate_negotiate import ValidateNegotiateInfoRequest, ValidateNegotiateInfoResponse
from odxfs.wire.gmt_token import split_gmt_token
from odxfs.wire.header import Command
from odxfs.wire.ioctl import IoctlRequest, IoctlResponse
from odxfs.wire.negotiate import Dialect
from odxfs.wire.tree_connect import ShareFlags, TreeConnectRequest, TreeConnectResponse
from odxfs.wire.tree_disconnect import TreeDisconnectRequest

LONGEST_PATH_BYTES = 65534
"""In UTF-16; more has no room in NameLength (MS-SMB2 2.2.13)."""

READ_ACCESS = Access.FILE_READ_DATA | Access.FILE_READ_ATTRIBUTES | Access.SYNCHRONIZE
COPY_ACCESS = READ_ACCESS | Access.FILE_READ_EA
WRITE_ACCESS = (
    Access.FILE_WRITE_DATA
    | Access.FILE_WRITE_EA
    | Access.FILE_READ_ATTRIBUTES
    | Access.FILE_WRITE_ATTRIBUTES
    | Access.SYNCHRONIZE
)
PARTIAL_ACCESS = WRITE_ACCESS | Access.FILE_READ_DATA | Access.DELETE
LOOK_ACCESS = Access.FILE_READ_ATTRIBUTES

_QUESTION_UNKNOWN = {
    Status.FILE_CLOSED,
    Status.FS_DRIVER_REQUIRED,
    Status.INVALID_DEVICE_REQUEST,
    Status.INVALID_PARAMETER,
    Status.NOT_SUPPORTED,
}
"""What servers say to FSCTL_VALIDATE_NEGOTIATE_INFO that do not know it: Windows and Samba before SMB 3.0 the first."""

_NOT_THERE = {Status.OBJECT_NAME_NOT_FOUND, Status.OBJECT_PATH_NOT_FOUND, Status.NO_SUCH_FILE}


class Tree:
    """One tree connect. `name` is what messages call the share."""

    def __init__(self, session: Session, tree_id: int, name: str, *, encrypt: bool) -> None:
        self.session = session
        self.id = tree_id
        self.name = name
        self._encrypt = encrypt
        self._opening: tuple[bytes | None] | None = None

    @property
    def share(self) -> str:
        """The share's name."""
        return self.name.rpartition("/")[2]

    def submit(self, command: Command, body: bytes, credit_charge: int = 1) -> Pending:
        """`Connection.submit` on this share."""
        return self.session.submit(
            command, body, tree_id=self.id, credit_charge=credit_charge, encrypt=self._encrypt
        )

    async def call(
        self, command: Command, body: bytes, payload: Buffer | None = None, credit_charge: int = 1
    ) -> Response:
        """`Connection.call` on this share."""
        return await self.session.call(
            command, body, payload, tree_id=self.id, credit_charge=credit_charge, encrypt=self._encrypt
        )

    async def open_to_read(self, path: str) -> SmbFile:
        """Open a file that exists. Others may do to it what they like: a disk in use can be copied."""
        return await self._open_file(path, READ_ACCESS, ShareAccess.ALL, CreateDisposition.OPEN)

    async def open_to_copy(self, path: str) -> SmbFile:
        """`open_to_read`, and to read the extended attributes, too, where the user may."""
        try:
            return await self._open_file(path, COPY_ACCESS, ShareAccess.ALL, CreateDisposition.OPEN)
        except RequestRefused as error:
            if error.status != Status.ACCESS_DENIED:
                raise
        return await self.open_to_read(path)

    async def open_unless_written(self, path: str) -> SmbFile:
        """Open a file to read; STATUS_SHARING_VIOLATION while anybody has it open to write."""
        allowed = ShareAccess.READ | ShareAccess.DELETE
        return await self._open_file(path, READ_ACCESS, allowed, CreateDisposition.OPEN)

    async def open_to_write(self, path: str) -> SmbFile:
        """Open a file, made new when it does not exist; its content is left alone. Others may read meanwhile."""
        return await self._open_file(path, WRITE_ACCESS, ShareAccess.READ, CreateDisposition.OPEN_IF)

    async def open_partial(self, path: str) -> SmbFile:
        """`open_to_write`, and to read back and rename, too."""
        return await self._open_file(path, PARTIAL_ACCESS, ShareAccess.READ, CreateDisposition.OPEN_IF)

    async def make_writable(self, path: str) -> bool:
        """Take READONLY off a file that nobody has open to write; whether it could be opened for that."""
        access = READ_ACCESS | Access.FILE_WRITE_ATTRIBUTES
        try:
            file = await self._open_file(path, access, ShareAccess.READ, CreateDisposition.OPEN)
        except RequestRefused:
            return False
        attributes = (file.metadata.attributes or 0) & ~FileAttributes.READONLY
        await file.set_metadata(Metadata(attributes=attributes))
        await file.close()
        return True

    async def pool_opening(self, file: SmbFile) -> bytes | None:
        """`SmbFile.pool_opening` of a file of this share: asked once, since it stays while the share is connected."""
        if self._opening is None:
            self._opening = (await file.pool_opening(),)
        return self._opening[0]

    async def delete(self, path: str) -> None:
        """Delete a file."""
        file = await self._open_file(
            path, Access.DELETE, ShareAccess.ALL, CreateDisposition.OPEN, CreateOptions.DELETE_ON_CLOSE
        )
        await file.close()

    async def is_directory(self, path: str) -> bool:
        """Whether `path` is a directory that exists. Raises RequestRefused unless it is a file or is missing."""
        found = await self.look(path) if path else None
        return not path or (found is not None and is_directory(found.metadata))

    async def look(self, path: str) -> SmbFile | None:
        """Whatever has this path, as it is, and closed again; None when nothing has. Raises RequestRefused."""
        try:
            found = await self.open(path, LOOK_ACCESS)
        except RequestRefused as error:
            if error.status in _NOT_THERE:
                return None
            raise
        await found.close()
        return found

    async def make_directory(self, path: str) -> bool:
        """Make a directory unless it is there; whether it was made. Raises RequestRefused, also where a file is."""
        options = CreateOptions.DIRECTORY_FILE
        made = await self.open(path, LOOK_ACCESS, disposition=CreateDisposition.OPEN_IF, options=options)
        await made.close()
        return made.created

    async def disconnect(self) -> None:
        """Give the tree connect back."""
        response = await self.call(Command.TREE_DISCONNECT, TreeDisconnectRequest().pack())
        expect_success(response, self.name)

    def describe(self, path: str) -> str:
        """A file of the share as messages name it."""
        return f"{self.name}/{path}".replace("\\", "/")

    async def open(
        self,
        path: str,
        access: int,
        share: int = ShareAccess.ALL,
        disposition: CreateDisposition = CreateDisposition.OPEN,
        options: int = 0,
    ) -> SmbFile:
        """An open as CREATE makes it. Raises RequestRefused."""
        if len(path.encode("utf-16-le", "surrogatepass")) > LONGEST_PATH_BYTES:
            raise RequestRefused(Status.NAME_TOO_LONG, f"{self.describe(path)[:100]}...")
        request = _request(path, access, share, disposition, options)
        response = await self.call(Command.CREATE, request.pack())
        made = CreateResponse.unpack(expect_success(response, self.describe(path)).pdu)
        return SmbFile.of(self, path, made)

    async def _open_file(
        self, path: str, access: int, share: int, disposition: CreateDisposition, options: int = 0
    ) -> SmbFile:
        return await self.open(path, access, share, disposition, options | CreateOptions.NON_DIRECTORY_FILE)


def is_directory(metadata: Metadata) -> bool:
    """Whether these are a directory's."""
    return bool((metadata.attributes or 0) & FileAttributes.DIRECTORY)


def _request(
    path: str, access: int, share: int, disposition: CreateDisposition, options: int = 0
) -> CreateRequest:
    """A CREATE of `path`. An @GMT token in it asks for a previous version: Windows and Samba want to hear that as a context."""
    second, path = split_gmt_token(path)
    contexts: tuple[RawContext, ...] = ()
    if second is not None:
        contexts = ((TIMEWARP_TOKEN, TimewarpToken(from_ns(second * 1_000_000_000)).pack()),)
    return CreateRequest(path, access, share, disposition, options, create_contexts=contexts)


async def connect_tree(session: Session, share: str) -> Tree:
    """Connect to a share. Raises RequestRefused when the server has no such share or does not let the user in."""
    host = session.connection.host
    name = f"//{host}/{share}"
    request = TreeConnectRequest(f"\\\\{host}\\{share}")
    response = expect_success(await session.call(Command.TREE_CONNECT, request.pack()), name)
    flags = TreeConnectResponse.unpack(response.pdu).share_flags
    tree = Tree(session, response.header.tree_id, name, encrypt=bool(flags & ShareFlags.ENCRYPT_DATA))
    await check_negotiation(tree)
    return tree


async def check_negotiation(tree: Tree) -> None:
    """Make sure that nobody between us and the server has talked us down (MS-SMB2 3.2.5.14.12). Raises NetworkFailed.

    Dialect 3.1.1 hashes the negotiation into its keys. Below it every server is asked, one of 2.1, too, when we can do better:
    a server that does not know the question says so in a signed answer, which is proof enough. Any other refusal is none.
    """
    connection = tree.session.connection
    wire = connection.wire
    offer = wire.offer
    if wire.dialect >= Dialect.SMB_3_1_1 or max(offer.dialects) < Dialect.SMB_3_0:
        return
    question = ValidateNegotiateInfoRequest(
        wire.capabilities, offer.client_guid, offer.security_mode, offer.dialects
    )
    request = IoctlRequest(Fsctl.VALIDATE_NEGOTIATE_INFO, ANY, question.pack(), max_output_response=24)
    response = await tree.call(Command.IOCTL, request.pack())
    if response.header.status in _QUESTION_UNKNOWN:
        return
    if response.header.status:
        raise NetworkFailed(
            f"{connection.address} does not confirm the negotiation: {sentence_of(response.header.status)}"
        )
    told = ValidateNegotiateInfoResponse.unpack(IoctlResponse.unpack(response.pdu).output_buffer)
    known = (wire.server_capabilities, wire.server_guid, wire.server_security_mode, wire.dialect)
    if (told.capabilities, told.guid, told.security_mode, told.dialect) != known:
        raise NetworkFailed(f"{connection.address}: somebody has altered the negotiation with the server")
