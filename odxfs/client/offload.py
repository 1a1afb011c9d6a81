"""Copying by token: FSCTL_OFFLOAD_READ and FSCTL_OFFLOAD_WRITE, many of them in flight (MS-FSCC 2.3.41 to 2.3.44).

What to call next is the ledger's to say; here the calls are packed, sent in batches and their answers handed back.
"""

from collections import deque
from collections.abc import Callable

import trio

from odxfs.client.connection import Pending
from odxfs.client.explain import Cause, cause_of_read, cause_of_write
from odxfs.client.file import SmbFile
from odxfs.client.ledger import Call, ReadCall, TokenLedger, WriteCall
from odxfs.wire.client_connection import Response
from odxfs.wire.fsctl.codes import Fsctl
from odxfs.wire.fsctl.offload import (
    OffloadReadInput,
    OffloadReadOutput,
    OffloadWriteInput,
    OffloadWriteOutput,
)
from odxfs.wire.ioctl import IoctlResponse

MAX_CALLS_IN_FLIGHT = 64
"""Enough to keep a server busy while the answers of the last batch are read; with 8 MiB tokens half a GiB is under way."""

CALLS_PER_SEND = 4
"""So that the server is at work on the first calls while the next are packed."""

READ_OUTPUT_BYTES = 528
WRITE_OUTPUT_BYTES = 16
ALL_ZERO_BEYOND_CURRENT_RANGE = 0x00000001

UnderWay = deque[tuple[Call, Pending]]


async def copy_by_token(
    source: SmbFile, destination: SmbFile, ledger: TokenLedger, progress: Callable[[], None]
) -> None:
    """Run the ledger to its end, which is the end of the file or a refusal (`ledger.cause`).

    The destination is at its full size and all zeros. Raises NetworkFailed; a refusal raises nothing.
    """
    connections = {file.tree.session.connection for file in (source, destination)}
    same_server = is_same_server(source, destination)
    under_way: UnderWay = deque()
    while not ledger.finished:
        if not under_way:
            for connection in connections:
                await connection.wait_for_room()
        submitted = _submit_calls(source, destination, ledger, under_way)
        for connection in connections:
            await connection.flush()
        if not under_way and ledger.pause_seconds:
            await trio.sleep(ledger.pause_seconds)
            ledger.pause_over()
        if submitted == CALLS_PER_SEND or not under_way:
            continue
        await under_way[0][1].wait()
        while under_way and under_way[0][1].done:
            call, pending = under_way.popleft()
            _take_answer(call, await pending.wait(), ledger, same_server=same_server)
        progress()


async def find_refusal(source: SmbFile, destination: SmbFile) -> Cause | None:
    """Ask both ends whether they offload, without moving a byte: a token of the first sector, and a write of nothing.

    A write of no length is answered before its token is looked at (MS-FSA 2.1.5.10.21), so this finds a server or share
    without offload, but not yet a token from a stranger.
    """
    read = await source.fsctl(Fsctl.OFFLOAD_READ, _pack(ReadCall(0, 512)), READ_OUTPUT_BYTES)
    if read.header.status:
        return cause_of_read(read.header.status)
    write = await destination.fsctl(
        Fsctl.OFFLOAD_WRITE, _pack(WriteCall(0, 0, 0, bytes(512))), WRITE_OUTPUT_BYTES
    )
    if write.header.status:
        return cause_of_write(write.header.status, same_server=is_same_server(source, destination))
    return None


def is_same_server(source: SmbFile, destination: SmbFile) -> bool:
    """Whether both files are of one server, by the ServerGuid it gave in NEGOTIATE."""
    first, second = source.tree.session.connection, destination.tree.session.connection
    return first is second or first.wire.server_guid == second.wire.server_guid


def _submit_calls(source: SmbFile, destination: SmbFile, ledger: TokenLedger, under_way: UnderWay) -> int:
    """Queue calls that are due, as many as one sending takes; returns how many."""
    connections = (source.tree.session.connection, destination.tree.session.connection)
    submitted = 0
    while len(under_way) < MAX_CALLS_IN_FLIGHT and submitted < CALLS_PER_SEND:
        call = ledger.next_call() if all(connection.has_room() for connection in connections) else None
        if call is None:
            break
        submitted += 1
        if isinstance(call, ReadCall):
            pending = source.submit_fsctl(Fsctl.OFFLOAD_READ, _pack(call), READ_OUTPUT_BYTES)
        else:
            pending = destination.submit_fsctl(Fsctl.OFFLOAD_WRITE, _pack(call), WRITE_OUTPUT_BYTES)
        under_way.append((call, pending))
    return submitted


def _pack(call: Call) -> bytes:
    if isinstance(call, ReadCall):
        return OffloadReadInput(file_offset=call.offset, copy_length=call.length).pack()
    return OffloadWriteInput(
        file_offset=call.offset,
        copy_length=call.length,
        transfer_offset=call.transfer_offset,
        token=call.token,
    ).pack()


def _take_answer(call: Call, response: Response, ledger: TokenLedger, *, same_server: bool) -> None:
    status = response.header.status
    if isinstance(call, ReadCall):
        if status:
            ledger.refused(call, cause_of_read(status))
            return
        read = OffloadReadOutput.unpack(IoctlResponse.unpack(response.pdu).output_buffer)
        zero_beyond = bool(read.flags & ALL_ZERO_BEYOND_CURRENT_RANGE)
        ledger.token_read(call, read.transfer_length, read.token, zero_beyond=zero_beyond)
    elif status:
        known = (
            same_server or ledger.proven
        )  # who took one token of a server knows it, and this token was lost
        ledger.refused(call, cause_of_write(status, same_server=known))
    else:
        written = OffloadWriteOutput.unpack(IoctlResponse.unpack(response.pdu).output_buffer)
        ledger.token_written(call, written.length_written)
