"""Extended attributes: FileFullEaInformation over the volume's `user.` xattrs (MS-FSCC 2.4.16, MS-FSA 2.1.5.12.17).

An EA NAME is the xattr `user.NAME`; names are found without case, as Windows demands, and keep the case they were made in.
An EA with an empty value does not exist: setting one deletes it. Other xattr name spaces are not shown, nor are xattrs whose
name or value no EA could have.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from odxfs.errors import NoAttribute
from odxfs.ntstatus import Status
from odxfs.smb.information.answer import Information
from odxfs.smb.request import Answer, SmbError
from odxfs.token_attributes import RESERVED
from odxfs.wire.create_contexts import EA_BUFFER, find_create_context
from odxfs.wire.fscc.ea import (
    EA_ALIGNMENT,
    ExtendedAttribute,
    pack_full_ea,
    packed_bytes,
    unpack_full_ea,
    unpack_get_ea,
)
from odxfs.wire.query_info import QueryInfoFlags, QueryInfoResponse

if TYPE_CHECKING:
    from odxfs.smb.opens import SmbOpen
    from odxfs.volume import Inode, Volume
    from odxfs.wire.create import RawContext
    from odxfs.wire.query_info import QueryInfoRequest

PREFIX = b"user."
MAX_XATTR_NAME_BYTES = 255
"""XATTR_NAME_MAX of Linux, with the prefix; an EA's own name could have as many without."""

MAX_VALUE_BYTES = 0xFFFF
_FORBIDDEN = frozenset(b'\\/:*?"<>|,+=[];') | frozenset(range(0x20))


async def list_eas(volume: Volume, inode: Inode) -> list[ExtendedAttribute]:
    """Every EA of the inode."""
    eas = []
    for xattr in filter(_is_of_ea, await volume.list_xattrs(inode)):
        try:
            value = await volume.get_xattr(inode, xattr)
        except NoAttribute:
            continue  # removed since they were listed
        if 0 < len(value) <= MAX_VALUE_BYTES:
            eas.append(ExtendedAttribute(xattr.removeprefix(PREFIX), value))
    return eas


def _is_of_ea(xattr: bytes) -> bool:
    """Whether an EA may have that name, as one that is shown and as one that is set; what is reserved is a token on the mount."""
    name = xattr.removeprefix(PREFIX)
    return (
        xattr.startswith(PREFIX)
        and bool(name)
        and name.isascii()
        and len(xattr) <= MAX_XATTR_NAME_BYTES
        and _FORBIDDEN.isdisjoint(name)
        and not xattr.lower().startswith(RESERVED)
    )


async def ea_size(volume: Volume, inode: Inode) -> int:
    """EaSize (MS-FSCC 2.4.13): what all EAs take up in OS/2's FEALIST form, 0 when there is none."""
    eas = await list_eas(volume, inode)
    return 4 + sum(5 + len(ea.name) + len(ea.value) for ea in eas) if eas else 0


async def query_full_ea(opened: SmbOpen, request: QueryInfoRequest) -> Information | Answer:
    """All EAs, the one or those behind an index, or those that the input names (an absent one is shown with an empty value).

    A scan that did not fit, or that asks for one at a time, goes on with the next request of the open; one that is through
    begins again unless it asks for one at a time. SmbError: NO_EAS_ON_FILE, NONEXISTENT_EA_ENTRY for an index that there is
    not, NO_MORE_EAS at the end, BUFFER_TOO_SMALL when not even the first fits.
    """
    eas = await list_eas(opened.volume, opened.file_inode)
    if request.input_buffer:
        known = {ea.name.lower(): ea for ea in eas}
        wanted = unpack_get_ea(request.input_buffer)
        found = [known.get(name.lower(), ExtendedAttribute(name, b"")) for name in wanted]
        if _count_fitting(found, request.output_buffer_length) < len(found):
            raise SmbError(Status.BUFFER_TOO_SMALL)
        return Information(pack_full_ea(found), 0)
    if not eas:
        raise SmbError(Status.NO_EAS_ON_FILE)
    start = _first_ea(opened, request, len(eas))
    single = bool(request.flags & QueryInfoFlags.RETURN_SINGLE_ENTRY)
    rest = eas[start : start + 1] if single else eas[start:]
    shown = rest[: _count_fitting(rest, request.output_buffer_length)]
    if not shown:
        raise SmbError(Status.BUFFER_TOO_SMALL)
    opened.next_ea = start + len(shown)
    if opened.next_ea == len(eas) and not single:
        opened.next_ea = 0
    data = pack_full_ea(shown)
    if len(shown) < len(rest):
        return Answer(Status.BUFFER_OVERFLOW, QueryInfoResponse(data))
    return Information(data, 0)


def _first_ea(opened: SmbOpen, request: QueryInfoRequest, count: int) -> int:
    """Where a scan begins: at the index it names (from 1 on, in AdditionalInformation), anew, or where the last one stopped."""
    if request.flags & QueryInfoFlags.INDEX_SPECIFIED:
        index = request.additional_information
        if index == count + 1:
            raise SmbError(Status.NO_MORE_EAS)
        if not 1 <= index <= count:
            raise SmbError(Status.NONEXISTENT_EA_ENTRY)
        return index - 1
    if request.flags & QueryInfoFlags.RESTART_SCAN:
        return 0
    if opened.next_ea >= count:
        raise SmbError(Status.NO_MORE_EAS)
    return opened.next_ea


def _count_fitting(eas: list[ExtendedAttribute], room: int) -> int:
    """How many there is room for; their bytes are not looked at, and may be many times what there is."""
    used = 0
    for count, ea in enumerate(eas):
        length = packed_bytes(ea)
        if used + length > room:
            return count
        used += length + -length % EA_ALIGNMENT
    return len(eas)


async def remove_eas(volume: Volume, inode: Inode) -> None:
    """Remove every EA, as overwriting a file does. What no client is shown stays."""
    if inode.has_xattrs:
        for ea in await list_eas(volume, inode):
            await _remove(volume, inode, PREFIX + ea.name)


def eas_at_create(contexts: tuple[RawContext, ...]) -> tuple[ExtendedAttribute, ...]:
    """What the ExtA context of a CREATE asks for, for a file that is new or empty."""
    data = find_create_context(contexts, EA_BUFFER)
    return unpack_full_ea(data) if data else ()


def check_eas(eas: Iterable[ExtendedAttribute]) -> None:
    """Raise SmbError(INVALID_EA_NAME) for what `set_eas` would refuse."""
    if not all(_is_of_ea(PREFIX + ea.name) for ea in eas):
        raise SmbError(Status.INVALID_EA_NAME)


async def set_eas(volume: Volume, inode: Inode, eas: Iterable[ExtendedAttribute]) -> None:
    """Set or delete each of `eas`. SmbError(INVALID_EA_NAME) before anything is changed."""
    wanted = list(eas)
    check_eas(wanted)
    known = {xattr.lower(): xattr for xattr in await volume.list_xattrs(inode) if xattr.startswith(PREFIX)}
    for ea in wanted:
        xattr = known.get((PREFIX + ea.name).lower(), PREFIX + ea.name)
        if ea.value:
            await volume.set_xattr(inode, xattr, ea.value)
        else:
            await _remove(volume, inode, xattr)


async def _remove(volume: Volume, inode: Inode, xattr: bytes) -> None:
    with suppress(NoAttribute):
        await volume.remove_xattr(inode, xattr)
