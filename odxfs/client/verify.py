"""Reading a file back for its sha256: pieces in flight, hashed in order in a worker thread, at most 16 MiB in memory.

Holes are not read: what a side says to be unallocated is zeros by definition (MS-FSCC 2.3.51, lseek(2)).
"""

import hashlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from itertools import islice

import trio

from odxfs.client.closing import closing
from odxfs.client.errors import Mismatch, RequestRefused
from odxfs.client.holes import data_batches
from odxfs.client.nursery import open_nursery
from odxfs.client.place import File, Place
from odxfs.client.plain import PIECE_BYTES, cut
from odxfs.ntstatus import Status
from odxfs.types import Buffer

ROUND_PIECES = 8
"""Read at once, while the pieces before them are hashed."""

ZEROS_PER_TURN = 64
"""Pieces of zeros hashed before the thread looks up."""

_ZEROS = bytes(PIECE_BYTES)


async def verify(source: Place, destination: Place) -> str:
    """The sha256 that both files have. Raises Mismatch, RequestRefused, NetworkFailed, UserError."""
    digests: dict[str, str] = {}

    async def read(key: str, place: Place) -> None:
        digests[key] = await digest_of(place)

    async with open_nursery() as nursery:
        nursery.start_soon(read, "source", source)
        nursery.start_soon(read, "destination", destination)
    if digests["source"] != digests["destination"]:
        raise Mismatch(source.name, digests["source"], destination.name, digests["destination"])
    return digests["source"]


async def digest_of(place: Place) -> str:
    """The sha256 of the file's bytes."""
    async with closing(await place.open_to_read()) as file:
        digest = hashlib.sha256()
        waiting: list[Buffer] = []
        async with aclosing(_rounds(file)) as rounds:
            async for pieces, zero_bytes in rounds:
                waiting = await _read_round(file, pieces, digest, waiting)
                if zero_bytes:
                    await _update_zeros(digest, zero_bytes)
        await _update(digest, waiting)
    return digest.hexdigest()


async def _rounds(file: File) -> AsyncGenerator[tuple[list[tuple[int, int]], int], None]:
    """What to hash next, in order: pieces to read, or how many zeros."""
    reached = 0
    size = min(PIECE_BYTES, file.max_read_bytes)
    whole = [(0, file.size)] if file.size else []
    async with aclosing(data_batches(file, whole, lambda start, end: None)) as batches:
        async for batch in batches:
            for offset, length in batch:
                if reached < offset:
                    yield [], offset - reached
                pieces = cut([(offset, length)], size)
                while group := list(islice(pieces, ROUND_PIECES)):
                    yield group, 0
                reached = offset + length
    if reached < file.size:
        yield [], file.size - reached


async def _read_round(
    file: File, pieces: list[tuple[int, int]], digest: "hashlib._Hash", waiting: list[Buffer]
) -> list[Buffer]:
    """Read the pieces while what was read before is hashed."""
    found: list[Buffer] = [b""] * len(pieces)

    async def read(index: int, offset: int, length: int) -> None:
        found[index] = await _read_piece(file, offset, length)

    async with open_nursery() as nursery:
        nursery.start_soon(_update, digest, waiting)
        for index, (offset, length) in enumerate(pieces):
            nursery.start_soon(read, index, offset, length)
    return found


async def _read_piece(file: File, offset: int, length: int) -> Buffer:
    data = await file.read(offset, length)
    while 0 < len(data) < length:
        more = await file.read(offset + len(data), length - len(data))
        if not more:
            break
        data = bytes(data) + bytes(more)
    if len(data) < length:
        raise RequestRefused(Status.END_OF_FILE, file.name)
    return data


async def _update(digest: "hashlib._Hash", pieces: list[Buffer]) -> None:
    if pieces:
        await trio.to_thread.run_sync(_update_all, digest, pieces)


def _update_all(digest: "hashlib._Hash", pieces: list[Buffer]) -> None:
    for piece in pieces:
        digest.update(piece)


async def _update_zeros(digest: "hashlib._Hash", length: int) -> None:
    whole, rest = divmod(length, PIECE_BYTES)
    while whole:
        turn = min(whole, ZEROS_PER_TURN)
        await _update(digest, [_ZEROS] * turn)
        whole -= turn
    await _update(digest, [_ZEROS[:rest]])
