"""Tokens in flight while the source changes: what a token is written to must be the source as it was when the token was read."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import trio
from ledger import Ledger
from place import CELL_BYTES, MEBIBYTE, PASSWORD, SHARE, USER, Place, Turns, cells_of

from odxfs.client.client import connect
from odxfs.client.file import SmbFile
from odxfs.client.session import expect_success
from odxfs.wire.access_mask import Access
from odxfs.wire.create import CreateDisposition
from odxfs.wire.fsctl.codes import Fsctl
from odxfs.wire.fsctl.offload import (
    OffloadReadInput,
    OffloadReadOutput,
    OffloadWriteInput,
    OffloadWriteOutput,
)
from odxfs.wire.ioctl import IoctlResponse

DISK_BYTES = 48 * MEBIBYTE
PIECE_BYTES = MEBIBYTE
BLOCK_BYTES = 4096
TOKENS = 24
ACCESS = Access.GENERIC_READ | Access.GENERIC_WRITE
MOST_BYTES = 8 * MEBIBYTE


@dataclass
class Held:
    """A token, where its range begins, and what the source was when it was read."""

    offset: int
    length: int
    token: bytes
    frozen: Ledger


def turns(place: Place) -> Turns:
    """A round a turn, each on a connection of its own."""
    while True:
        trio.run(_round, place)
        yield


async def _round(place: Place) -> None:
    ledger = place.ledger("source", DISK_BYTES)
    async with connect(
        "127.0.0.1", place.port, USER, PASSWORD, encrypt=place.choice.random() < 0.3
    ) as client:
        tree = await client.tree(SHARE)
        source = await tree.open(rf"{place.client}\source", ACCESS, disposition=CreateDisposition.OPEN_IF)
        target = await tree.open(rf"{place.client}\target", ACCESS, disposition=CreateDisposition.OPEN_IF)
        if not ledger.is_written:
            await _write(place, source, ledger, 0, ledger.cells)
        await target.set_end_of_file(DISK_BYTES)
        held = [token async for token in _read_tokens(place, source, ledger)]
        for _ in range(8):
            await _write(place, source, ledger, *place.pick(ledger, cells_of(PIECE_BYTES)))
        for token in place.choice.sample(held, len(held) * 2 // 3):  # the others end by themselves
            await _redeem(place, target, token)
        for file in (source, target):
            await file.close()


async def _read_tokens(place: Place, source: SmbFile, ledger: Ledger) -> AsyncIterator[Held]:
    for number in range(TOKENS):
        length = place.choice.randint(1, MOST_BYTES // BLOCK_BYTES) * BLOCK_BYTES
        offset = place.choice.randrange((DISK_BYTES - length) // BLOCK_BYTES + 1) * BLOCK_BYTES
        request = OffloadReadInput(file_offset=offset, copy_length=length).pack()
        response = expect_success(await source.fsctl(Fsctl.OFFLOAD_READ, request, 528), source.name)
        read = OffloadReadOutput.unpack(IoctlResponse.unpack(response.pdu).output_buffer)
        yield Held(offset, read.transfer_length, read.token, ledger.freeze(place.scratch / f"token-{number}"))
        if number % 4 == 0:
            await _write(place, source, ledger, *place.pick(ledger, cells_of(PIECE_BYTES)))


async def _redeem(place: Place, target: SmbFile, held: Held) -> None:
    request = OffloadWriteInput(
        file_offset=held.offset, copy_length=held.length, transfer_offset=0, token=held.token
    ).pack()
    response = expect_success(await target.fsctl(Fsctl.OFFLOAD_WRITE, request, 16), target.name)
    written = OffloadWriteOutput.unpack(IoctlResponse.unpack(response.pdu).output_buffer).length_written
    if not written:
        raise ValueError("a token was written, and nothing of it")
    for offset in range(held.offset, held.offset + written, PIECE_BYTES):
        data = await target.read(offset, min(PIECE_BYTES, held.offset + written - offset))
        held.frozen.check(offset // CELL_BYTES, bytes(data), "a token's target")
    place.count(verified=written)


async def _write(place: Place, file: SmbFile, ledger: Ledger, first: int, count: int) -> None:
    data = memoryview(ledger.intend(first, count))
    for begin in range(0, len(data), PIECE_BYTES):
        piece = data[begin : begin + PIECE_BYTES]
        if await file.write(first * CELL_BYTES + begin, piece) != len(piece):
            raise OSError("a short write")
    ledger.acknowledge(first, count)
    place.count(written=len(data))
