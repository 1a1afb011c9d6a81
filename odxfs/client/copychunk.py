"""Copying within a server by FSCTL_SRV_COPYCHUNK_WRITE, several calls in flight (MS-SMB2 3.2.4.20.2).

What to call next is the ledger's to say (`chunks`); here are the resume key, the packing and the waiting.
"""

from collections import deque
from collections.abc import AsyncIterator, Callable

from odxfs.client.chunks import ChunkCall, ChunkLedger
from odxfs.client.connection import Pending
from odxfs.client.explain import ChunkCause, cause_of_chunk
from odxfs.client.file import SmbFile
from odxfs.errors import ProtocolError
from odxfs.ntstatus import Status
from odxfs.wire.client_connection import Response
from odxfs.wire.fsctl.codes import Fsctl
from odxfs.wire.fsctl.copychunk import SrvCopychunkCopy, SrvCopychunkResponse
from odxfs.wire.fsctl.resume_key import SrvRequestResumeKeyResponse
from odxfs.wire.ioctl import IoctlResponse

CALLS_IN_FLIGHT = 8
"""Of 16 MiB each with the usual limits; a server that really moves the bytes has enough to do with them."""

UnderWay = deque[tuple[ChunkCall, Pending]]


async def copy_by_chunks(
    source: SmbFile,
    destination: SmbFile,
    batches: AsyncIterator[list[tuple[int, int]]],
    ledger: ChunkLedger,
    progress: Callable[[], None],
) -> None:
    """Copy the ranges of the batches, until they end or the server refuses (`ledger.cause`).

    Both files are open in one session. Raises NetworkFailed; a refusal raises nothing.
    """
    key = await _resume_key(source, ledger)
    if key is None:
        return
    async for batch in batches:
        ledger.add(batch)
        await _run(source, key, destination, ledger, progress)
        if ledger.cause is not None:
            return


async def _resume_key(source: SmbFile, ledger: ChunkLedger) -> bytes | None:
    size = SrvRequestResumeKeyResponse.LAYOUT.size
    response = await source.fsctl(Fsctl.SRV_REQUEST_RESUME_KEY, b"", size)
    if response.header.status:
        ledger.cause = cause_of_chunk(response.header.status)
        return None
    return SrvRequestResumeKeyResponse.unpack(IoctlResponse.unpack(response.pdu).output_buffer).resume_key


async def _run(
    source: SmbFile, key: bytes, destination: SmbFile, ledger: ChunkLedger, progress: Callable[[], None]
) -> None:
    connection = source.tree.session.connection
    under_way: UnderWay = deque()
    while not ledger.finished:
        if not under_way:
            await connection.wait_for_room()
        _submit(key, destination, ledger, under_way)
        await connection.flush()
        if under_way:
            call, pending = under_way.popleft()
            _take_answer(call, await pending.wait(), ledger)
            progress()


def _submit(key: bytes, destination: SmbFile, ledger: ChunkLedger, under_way: UnderWay) -> None:
    connection = destination.tree.session.connection
    while len(under_way) < CALLS_IN_FLIGHT and connection.has_room():
        call = ledger.next_call()
        if call is None:
            return
        data = SrvCopychunkCopy(key, call.chunks).pack()
        size = SrvCopychunkResponse.LAYOUT.size
        under_way.append((call, destination.submit_fsctl(Fsctl.SRV_COPYCHUNK_WRITE, data, size)))


def _take_answer(call: ChunkCall, response: Response, ledger: ChunkLedger) -> None:
    status, answer = response.header.status, _answer(response)
    if status == Status.INVALID_PARAMETER and answer is not None:
        ledger.limited(call, answer)
    elif status:
        ledger.refused(call, cause_of_chunk(status), answer)
    elif answer is None:
        ledger.refused(call, ChunkCause.SERVER_ERROR, None)
    else:
        ledger.copied(call, answer)


def _answer(response: Response) -> SrvCopychunkResponse | None:
    """How far the server came, or its limits. A refusal may have the body of an error instead, which tells neither."""
    try:
        return SrvCopychunkResponse.unpack(IoctlResponse.unpack(response.pdu).output_buffer)
    except ProtocolError:
        return None
