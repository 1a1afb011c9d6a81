"""What a file has beside its bytes, taken over: named streams, extended attributes, then times and attributes."""

import logging

from odxfs.client.closing import closing
from odxfs.client.errors import NetworkFailed
from odxfs.client.metadata import Lost
from odxfs.client.place import File, Place
from odxfs.client.plain import copy_plainly, make_zeros
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
    """The streams of the source, and no others that a file which is overwritten may have had."""
    try:
        names = await source.streams()
        for name in names:
            await _copy_stream(source_place.stream(name), place.stream(name))
        for name in [] if file.created else await file.streams():
            if name not in names:
                await place.stream(name).delete()
    except NetworkFailed:
        raise
    except UserError as error:
        _log.info("a stream is not kept: %s", error)
        return {Lost.STREAMS}
    return set()


async def _copy_stream(source: Place, destination: Place) -> None:
    async with (
        closing(await source.open_to_read()) as opened,
        closing(await destination.open_to_write()) as made,
    ):
        await make_zeros(made, opened.size)
        await copy_plainly(opened, made, [(0, opened.size)], lambda offset, length: None)


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
