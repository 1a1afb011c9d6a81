"""One open of an SMB file: the calls that a copy makes on it."""

from typing import TYPE_CHECKING, Self

from odxfs.client.connection import Pending
from odxfs.client.errors import RequestRefused
from odxfs.client.metadata import NO_METADATA, Lost, Metadata, is_users_own, smb_metadata
from odxfs.client.session import expect_success
from odxfs.errors import ProtocolError
from odxfs.ntstatus import Status
from odxfs.pool_identity import unpack_opening
from odxfs.types import Buffer
from odxfs.wire.client_connection import Response
from odxfs.wire.close import CloseRequest
from odxfs.wire.create import CreateAction, CreateResponse
from odxfs.wire.file_id import FileId
from odxfs.wire.flush import FlushRequest
from odxfs.wire.fscc.classes import FileAttributes, FileInformationClass
from odxfs.wire.fscc.ea import ExtendedAttribute, pack_full_ea, unpack_full_ea
from odxfs.wire.fscc.file_information import FileEndOfFileInformation
from odxfs.wire.fscc.file_names import FileRenameInformation, unpack_streams
from odxfs.wire.fscc.file_system_information import FileFsObjectIdInformation
from odxfs.wire.fsctl.codes import Fsctl
from odxfs.wire.fsctl.sparse import RANGE_BYTES, FileAllocatedRange, unpack_allocated_ranges
from odxfs.wire.header import Command
from odxfs.wire.ioctl import IoctlRequest, IoctlResponse
from odxfs.wire.query_info import InfoType, QueryInfoRequest, QueryInfoResponse
from odxfs.wire.read import ReadRequest, ReadResponse
from odxfs.wire.set_info import SetInfoRequest
from odxfs.wire.write import WriteRequest, WriteResponse

if TYPE_CHECKING:
    from odxfs.client.tree import Tree

CREDIT_BYTES = 65536
"""What one credit pays for (MS-SMB2 3.1.5.2)."""

LONGEST_VALUE = 65535
"""Bytes of an extended attribute's value (EaValueLength, MS-FSCC 2.4.16)."""

ANSWER_BYTES = 65536
"""Asked for where an answer has no fixed size: one credit's worth."""

_NO_ATTRIBUTES = {Status.NO_EAS_ON_FILE, Status.EAS_NOT_SUPPORTED, Status.NOT_SUPPORTED}
_UNNAMED_STREAM = "::$DATA"
_STREAM_TYPE = ":$DATA"
_NEVER_IN_STREAMS = frozenset("\\/:\0")


class SmbFile:
    """An open. `size` is the end of file in bytes as the CREATE told it; `created` whether that CREATE made the file."""

    def __init__(
        self,
        tree: "Tree",
        path: str,
        file_id: FileId,
        size: int,
        *,
        created: bool,
        metadata: Metadata = NO_METADATA,
    ) -> None:
        self.tree = tree
        self.path = path
        self.size = size
        self.created = created
        self.metadata = metadata
        self.max_read_bytes = _bounded(tree, tree.session.connection.wire.max_read_bytes)
        self.max_write_bytes = _bounded(tree, tree.session.connection.wire.max_write_bytes)
        self._file_id = file_id

    @classmethod
    def of(cls, tree: "Tree", path: str, made: CreateResponse) -> Self:
        """What a CREATE has made. Raises ProtocolError for an end of file that no file can have."""
        if made.end_of_file < 0:
            raise ProtocolError(f"an end of file at {made.end_of_file}")
        metadata = smb_metadata(
            made.creation_time,
            made.last_access_time,
            made.last_write_time,
            made.change_time,
            made.file_attributes,
        )
        created = made.create_action == CreateAction.CREATED
        return cls(tree, path, made.file_id, made.end_of_file, created=created, metadata=metadata)

    @property
    def file_id(self) -> FileId:
        """The open's FileId."""
        return self._file_id

    @property
    def sparse(self) -> bool:
        """Whether the server marks it sparse."""
        return bool((self.metadata.attributes or 0) & FileAttributes.SPARSE_FILE)

    @property
    def name(self) -> str:
        """What messages call this file."""
        return self.tree.describe(self.path)

    async def read(self, offset: int, length: int) -> Buffer:
        """At most `length` bytes (no more than `max_read_bytes`) at `offset`; empty at the end of file. A view, not a copy."""
        length = await self.wait_for_room(length)
        request = ReadRequest(self._file_id, offset, length)
        response = await self.tree.call(Command.READ, request.pack(), credit_charge=charge_of(length))
        if response.header.status == Status.END_OF_FILE:
            return b""
        data = ReadResponse.unpack(expect_success(response, self.name).pdu).data
        if len(data) > length:
            raise ProtocolError(f"a read of {length} bytes was answered with {len(data)}")
        return data

    def try_submit_read(self, offset: int, length: int) -> Pending | None:
        """Queue a read if the server's credits allow it now; the caller flushes the connection, and judges the answer."""
        charge = charge_of(length)
        if not self.tree.session.connection.has_room(charge):
            return None
        request = ReadRequest(self._file_id, offset, length)
        return self.tree.submit(Command.READ, request.pack(), credit_charge=charge)

    async def wait_for_room(self, length: int) -> int:
        """Wait until the server's credits allow a read or write of that length; the length that they allow, at least 1.

        It is less where the server never grants so many (`Connection.wait_for_room`). Raises NetworkFailed.
        """
        charge = await self.tree.session.connection.wait_for_room(charge_of(length))
        return min(length, charge * CREDIT_BYTES)

    async def write(self, offset: int, data: Buffer) -> int:
        """Write at most `max_write_bytes`; how many bytes the server took, which may be fewer."""
        data = memoryview(data)[: await self.wait_for_room(len(data))]
        request = WriteRequest(self._file_id, offset, data)
        response = await self.tree.call(
            Command.WRITE, request.pack_head(), data, credit_charge=charge_of(len(data))
        )
        count = WriteResponse.unpack(expect_success(response, self.name).pdu).written
        if count > len(data):
            raise ProtocolError(f"a write of {len(data)} bytes was answered as one of {count}")
        return count

    async def set_end_of_file(self, size: int) -> None:
        """Cut or extend the file; what is new reads as zeros."""
        await self._set(FileInformationClass.END_OF_FILE, FileEndOfFileInformation(size).pack())

    async def index_number(self) -> bytes:
        """The file's number on its volume, raw (FileInternalInformation, MS-FSCC 2.4.22)."""
        return await self._query(FileInformationClass.INTERNAL, 8)

    async def pool_opening(self) -> bytes | None:
        """Which opening of which pool it lies in, on a server that is odxfs (`odxfs.pool_identity`)."""
        kind = FileFsObjectIdInformation
        try:
            told = await self._query(kind.INFO_CLASS, kind.LAYOUT.size, InfoType.FILESYSTEM)
        except RequestRefused:
            return None
        return unpack_opening(kind.unpack(told).extended_info) if len(told) == kind.LAYOUT.size else None

    async def rename(self, path: str) -> None:
        """Give the file another path on its share, in the place of a file that may be there (needs DELETE access).

        A refusal is told of that path: most often the file there is in use.
        """
        rename = FileRenameInformation(path, True).pack()
        await self._set(FileInformationClass.RENAME, rename, self.tree.describe(path))
        self.path = path

    async def mark_sparse(self) -> bool:
        """FSCTL_SET_SPARSE; whether the server did it."""
        response = await self.fsctl(Fsctl.SET_SPARSE, b"", 0)
        return not response.header.status

    async def find_data(self, offset: int, length: int) -> tuple[list[tuple[int, int]], int]:
        """Where the range holds data: (offset, length) ranges, and the offset up to which they tell all.

        FSCTL_QUERY_ALLOCATED_RANGES (MS-FSCC 2.3.51); all is data on a server that does not tell.
        """
        question = FileAllocatedRange(offset, length).pack()
        response = await self.fsctl(Fsctl.QUERY_ALLOCATED_RANGES, question, ANSWER_BYTES)
        status, end = response.header.status, offset + length
        if status not in {Status.SUCCESS, Status.BUFFER_OVERFLOW}:
            return [(offset, length)], end
        told = unpack_allocated_ranges(IoctlResponse.unpack(response.pdu).output_buffer)
        full = len(told) >= ANSWER_BYTES // RANGE_BYTES  # then more may follow, whatever the status says
        return _inside(told, offset, end, whole=status == Status.SUCCESS and not full)

    async def set_metadata(self, metadata: Metadata) -> set[Lost]:
        """Give the file these times and attributes (FileBasicInformation); what was not kept."""
        lost = metadata.lost_on_smb()
        try:
            await self._set(FileInformationClass.BASIC, metadata.as_basic_information().pack())
        except RequestRefused:
            lost |= {Lost.TIMES, Lost.ATTRIBUTES}
        return lost

    async def streams(self) -> list[str]:
        """The names of the streams beside the unnamed one (FileStreamInformation). Raises RequestRefused."""
        told = unpack_streams(await self._query(FileInformationClass.STREAM, ANSWER_BYTES))
        names = [stream.stream_name for stream in told if stream.stream_name != _UNNAMED_STREAM]
        found = [name[1:].removesuffix(_STREAM_TYPE) for name in names if name.endswith(_STREAM_TYPE)]
        if any(_NEVER_IN_STREAMS.intersection(name) for name in found):
            raise ProtocolError("a stream whose name leads elsewhere")
        return found

    async def attributes(self) -> dict[bytes, bytes]:
        """The user's extended attributes. Raises RequestRefused, also for names that are not ASCII, as Samba may have them."""
        try:
            told = unpack_full_ea(await self._query(FileInformationClass.FULL_EA, ANSWER_BYTES))
        except RequestRefused as error:
            if error.status in _NO_ATTRIBUTES:
                return {}
            raise
        except ProtocolError as error:
            raise RequestRefused(Status.INVALID_EA_NAME, self.name) from error
        return {each.name: each.value for each in told if each.value and is_users_own(each.name)}

    async def set_attributes(self, attributes: dict[bytes, bytes]) -> None:
        """Add extended attributes, or replace them. Raises RequestRefused, for too long ones when the others are set."""
        fitting = [
            ExtendedAttribute(name, value)
            for name, value in attributes.items()
            if len(value) <= LONGEST_VALUE
        ]
        if fitting:
            await self._set(FileInformationClass.FULL_EA, pack_full_ea(fitting))
        if len(fitting) < len(attributes):
            raise RequestRefused(Status.EA_TOO_LARGE, self.name)

    def submit_fsctl(self, code: int, data: bytes, max_output_bytes: int) -> Pending:
        """Queue an FSCTL; the caller flushes the connection, and judges the status."""
        request = IoctlRequest(code, self._file_id, data, max_output_response=max_output_bytes)
        return self.tree.submit(Command.IOCTL, request.pack())

    async def fsctl(self, code: int, data: bytes, max_output_bytes: int) -> Response:
        """One FSCTL and its response, whatever the status."""
        request = IoctlRequest(code, self._file_id, data, max_output_response=max_output_bytes)
        charge = charge_of(max(len(data), max_output_bytes))
        return await self.tree.call(Command.IOCTL, request.pack(), credit_charge=charge)

    async def flush(self) -> None:
        """On stable storage on return."""
        response = await self.tree.call(Command.FLUSH, FlushRequest(self._file_id).pack())
        expect_success(response, self.name)

    async def close(self) -> None:
        """End the open. What the server could not write earlier is told now."""
        response = await self.tree.call(Command.CLOSE, CloseRequest(self._file_id).pack())
        expect_success(response, self.name)

    async def _query(
        self, information_class: int, answer_bytes: int, info_type: InfoType = InfoType.FILE
    ) -> bytes:
        request = QueryInfoRequest(
            info_type, information_class, self._file_id, output_buffer_length=answer_bytes
        )
        response = await self.tree.call(Command.QUERY_INFO, request.pack())
        return QueryInfoResponse.unpack(expect_success(response, self.name).pdu).output_buffer

    async def _set(self, information_class: int, data: bytes, subject: str = "") -> None:
        request = SetInfoRequest(InfoType.FILE, information_class, self._file_id, data)
        response = await self.tree.call(Command.SET_INFO, request.pack())
        expect_success(response, subject or self.name)


def charge_of(length: int) -> int:
    """The CreditCharge for that many bytes of payload."""
    return max(1, -(-length // CREDIT_BYTES))


def _inside(
    told: tuple[FileAllocatedRange, ...], start: int, end: int, *, whole: bool
) -> tuple[list[tuple[int, int]], int]:
    """A server's ranges cut to what was asked for, ascending and apart; a cut answer tells all up to its last range's end."""
    ranges, reached = list[tuple[int, int]](), start
    for found in told:
        first, last = max(found.file_offset, reached), min(found.file_offset + found.length, end)
        if first < last:
            ranges.append((first, last - first))
            reached = last
    if not whole and reached == start:
        return [(start, end - start)], end
    return ranges, end if whole else reached


def _bounded(tree: "Tree", limit: int) -> int:
    """Without multi-credit requests one request carries one credit's worth."""
    return limit if tree.session.connection.wire.supports_multi_credit else min(limit, CREDIT_BYTES)
