"""Copying by reading and writing, several pieces in flight.

The destination is all zeros before, so a piece of zeros is read, since nobody could say that it is a hole, but not written.
"""

from collections.abc import Callable, Iterable, Iterator

from odxfs.client.errors import RequestRefused
from odxfs.client.nursery import open_nursery
from odxfs.client.place import File
from odxfs.ntstatus import Status

PIECE_BYTES = 1024 * 1024
"""One read and one write. Larger pieces are not faster and hold more of the server's memory."""

PIECES_IN_FLIGHT = 8

_ZEROS = memoryview(bytes(PIECE_BYTES))


async def make_zeros(file: File, size: int) -> None:
    """Give the file this size and nothing but zeros. Raises UserError."""
    if file.size:
        await file.set_end_of_file(0)
    if size:
        await file.set_end_of_file(size)


async def copy_plainly(
    source: File, destination: File, ranges: Iterable[tuple[int, int]], progress: Callable[[int, int], None]
) -> None:
    """Copy the (offset, length) ranges; `progress` is told of every piece's offset and length when it has arrived.

    Raises RequestRefused, NetworkFailed or UserError, also when the source turns out shorter than its ranges.
    """
    size = min(PIECE_BYTES, source.max_read_bytes, destination.max_write_bytes)
    pieces = cut(ranges, size)
    async with open_nursery() as nursery:
        for _ in range(PIECES_IN_FLIGHT):
            nursery.start_soon(_copy_pieces, source, destination, pieces, progress)


async def _copy_pieces(
    source: File, destination: File, pieces: Iterator[tuple[int, int]], progress: Callable[[int, int], None]
) -> None:
    for offset, length in pieces:
        await _copy_piece(source, destination, offset, length)
        progress(offset, length)


async def _copy_piece(source: File, destination: File, offset: int, length: int) -> None:
    end = offset + length
    while offset < end:
        data = memoryview(await source.read(offset, end - offset))
        if not data:
            raise RequestRefused(Status.END_OF_FILE, source.name)
        offset += len(data)
        if data == _ZEROS[: len(data)]:
            continue
        while data:
            written = await destination.write(offset - len(data), data)
            if not 0 < written <= len(data):
                raise RequestRefused(Status.DISK_FULL, destination.name)
            data = data[written:]


def cut(ranges: Iterable[tuple[int, int]], size: int) -> Iterator[tuple[int, int]]:
    """The ranges cut at multiples of `size`, so that a server sees aligned requests."""
    for start, length in ranges:
        offset, end = start, start + length
        while offset < end:
            step = min(size - offset % size, end - offset)
            yield offset, step
            offset += step
