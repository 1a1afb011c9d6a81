"""Tokens as a client on the wire has them: read, written, and a file made as long as they need it."""

from odxfs.types import Buffer
from odxfs.wire.file_id import FileId
from odxfs.wire.fscc.file_information import FileDispositionInformation, FileEndOfFileInformation
from odxfs.wire.fscc.file_names import FileRenameInformation
from odxfs.wire.fsctl.codes import Fsctl
from odxfs.wire.fsctl.offload import (
    OffloadReadInput,
    OffloadReadOutput,
    OffloadWriteInput,
    OffloadWriteOutput,
)
from odxfs.wire.header import Command
from odxfs.wire.ioctl import IoctlRequest, IoctlResponse
from odxfs.wire.query_info import InfoType
from odxfs.wire.set_info import SetInfoRequest
from tests.support.peer import Peer


async def fsctl(peer: Peer, fid: FileId, code: int, data: bytes) -> bytes:
    request = IoctlRequest(code, fid, data, max_output_response=1024)
    return IoctlResponse.unpack((await peer.call(Command.IOCTL, request)).pdu).output_buffer


async def read_token(peer: Peer, fid: FileId, length: int) -> bytes:
    call = OffloadReadInput(file_offset=0, copy_length=length)
    output = OffloadReadOutput.unpack(await fsctl(peer, fid, Fsctl.OFFLOAD_READ, call.pack()))
    assert output.transfer_length == length
    return output.token


async def write_token(peer: Peer, fid: FileId, token: Buffer, length: int) -> int:
    call = OffloadWriteInput(file_offset=0, copy_length=length, transfer_offset=0, token=bytes(token))
    output = await fsctl(peer, fid, Fsctl.OFFLOAD_WRITE, call.pack())
    return OffloadWriteOutput.unpack(output).length_written


async def set_information(
    peer: Peer,
    fid: FileId,
    information: FileDispositionInformation | FileEndOfFileInformation | FileRenameInformation,
) -> None:
    request = SetInfoRequest(InfoType.FILE, information.INFO_CLASS, fid, information.pack())
    await peer.call(Command.SET_INFO, request)
