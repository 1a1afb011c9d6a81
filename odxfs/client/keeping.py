"""What a file has beside its bytes, taken over: named streams, extended attributes, then times and attributes."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from odxfs.client.closing import closing
from odxfs.client.errors import NetworkFailed
from odxfs.client.metadata import Lost
from odxfs.client.place import File, Place
from odxfs.client.plain import copy_plainly
from odxfs.client.targets import direct_target
from odxfs.errors import UserError

_log = logging.getLogger(__name__)


async def keep(source_place: Place, source: File, place: Place, file: File) -> set[Lost]:
    """Take over what the destination `file`, open at `place`, can hold; what was not kept. Raises NetworkFailed.

    The last thing before the file is closed: all that comes after would change its times.
    """
    lost = await _keep_streams(source_place, source, place, file)
    lost |= await _keep_attributes(source, file)
    lost |= await file.set_metadata(source.metadata)
    if source.sparse:
        await file.mark_sparse()  # once more: Samba takes the mark off when attributes are set
    return lost


async def _keep_streams(source_place: Place, source: File, place: Place, file: File) -> set[Lost]:
    """The streams of the source, and no others that a file which is overwritten may have had.

    These go first: a name may differ from one of the source by case alone, and then it is the same stream.
    """
    names = list[str]()
    with _told() as lost:
        names = await source.streams()
        for name in [] if file.created else await file.streams():
            if name not in names:
                await place.stream(name).delete()
    for name in names:
        with _told() as lost_too:
            await _copy_stream(source_place.stream(name), place.stream(name))
        lost |= lost_too
    return lost


@contextmanager
def _told() -> Iterator[set[Lost]]:
    """Streams that fail are told of, and do not end the copy."""
    lost = set[Lost]()
    try:
        yield lost
    except NetworkFailed:
        raise
    except UserError as error:
        _log.info("a stream is not kept: %s", error)
        lost.add(Lost.STREAMS)


async def _copy_stream(source: Place, destination: Place) -> None:
    """All of it or nothing: half a stream would be taken for the whole."""
    async with (
        closing(await source.open_to_read()) as opened,
        direct_target(destination, opened.size, _nothing, _nothing) as made,
    ):
        await copy_plainly(opened, made, [(0, opened.size)], lambda offset, length: None)


async def _nothing(*_: object) -> None:
    """A stream needs no check, and has nothing beside its bytes."""


async def _keep_attributes(source: File, file: File) -> set[Lost]:
    try:
        attributes = await source.attributes()
        if attributes:
            await file.set_attributes(attributes)
    except NetworkFailed:
        raise
    except UserError as error:
        _log.info("an extended attribute is not kept: %s", error)
        return {Lost.EXTENDED_ATTRIBUTES}
    return set()
