"""Where a source holds data, so that its holes are not moved."""

from collections.abc import AsyncGenerator, Callable, Iterable

from odxfs.client.place import File

ASKING_PAYS_BYTES = 64 * 1024
"""A shorter range is taken for data: to ask costs as much as to read it."""


async def data_batches(
    source: File, ranges: Iterable[tuple[int, int]], skip: Callable[[int, int], None]
) -> AsyncGenerator[list[tuple[int, int]], None]:
    """The (offset, length) ranges of data within `ranges`, some thousand at a time; `skip(start, end)` is told of each hole.

    Raises NetworkFailed, UserError.
    """
    for start, length in ranges:
        offset, end = start, start + length
        while offset < end:
            if end - offset < ASKING_PAYS_BYTES:
                yield [(offset, end - offset)]
                break
            data, reached = await source.find_data(offset, end - offset)
            _tell_holes(data, offset, reached, skip)
            if data:
                yield data
            offset = reached


def _tell_holes(data: list[tuple[int, int]], start: int, end: int, skip: Callable[[int, int], None]) -> None:
    for offset, length in [*data, (end, 0)]:
        if start < offset:
            skip(start, offset)
        start = offset + length
