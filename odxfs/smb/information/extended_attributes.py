"""Extended attributes: FileFullEaInformation over the volume's `user.` xattrs (MS-FSCC 2.4.16, MS-FSA 2.1.5.12.17).

An EA NAME is the xattr `user.NAME`; names are found without case, as Windows demands, and keep the case they were made in.
An EA with an empty value does not exist: setting one deletes it. Other xattr name spaces are not shown, nor are xattrs whose
name or value no EA could have.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from odxfs.errors import NoAttribute
from odxfs.ntstatus import Status
from odxfs.smb.information.answer import Information
from odxfs.smb.request import SmbError
from odxfs.wire.fscc.ea import ExtendedAttribute, pack_full_ea, unpack_get_ea

if TYPE_CHECKING:
    from odxfs.smb.opens import SmbOpen
    from odxfs.volume import Inode, Volume
    from odxfs.wire.query_info import QueryInfoRequest

PREFIX = b"user."
MAX_VALUE_BYTES = 0xFFFF
MAX_NAME_BYTES = 0xFF
_FORBIDDEN = frozenset(b'\\/:*?"<>|,+=[];') | frozenset(range(0x20))


async def list_eas(volume: Volume, inode: Inode) -> list[ExtendedAttribute]:
    """Every EA of the inode."""
    eas = []
    for xattr in await volume.list_xattrs(inode):
        name = xattr.removeprefix(PREFIX)
        if not xattr.startswith(PREFIX) or not name.isascii() or len(name) > MAX_NAME_BYTES:
            continue
        value = await volume.get_xattr(inode, xattr)
        if 0 < len(value) <= MAX_VALUE_BYTES:
            eas.append(ExtendedAttribute(name, value))
    return eas


async def ea_size(volume: Volume, inode: Inode) -> int:
    """EaSize (MS-FSCC 2.4.13): what all EAs take up in OS/2's FEALIST form, 0 when there is none."""
    eas = await list_eas(volume, inode)
    return 4 + sum(5 + len(ea.name) + len(ea.value) for ea in eas) if eas else 0


async def query_full_ea(opened: SmbOpen, request: QueryInfoRequest) -> Information:
    """All EAs, or those that the input names (an absent one is shown with an empty value).

    SmbError: NO_EAS_ON_FILE; BUFFER_OVERFLOW is the caller's, BUFFER_TOO_SMALL when not even the first fits.
    """
    eas = await list_eas(opened.volume, opened.inode)
    if request.input_buffer:
        known = {ea.name.lower(): ea for ea in eas}
        wanted = unpack_get_ea(request.input_buffer)
        eas = [known.get(name.lower(), ExtendedAttribute(name, b"")) for name in wanted]
    if not eas:
        raise SmbError(Status.NO_EAS_ON_FILE)
    data = pack_full_ea(eas)
    if len(data) > request.output_buffer_length:
        raise SmbError(Status.BUFFER_TOO_SMALL)
    return Information(data, 0)


async def set_eas(volume: Volume, inode: Inode, eas: Iterable[ExtendedAttribute]) -> None:
    """Set or delete each of `eas`. SmbError(INVALID_EA_NAME) before anything is changed."""
    wanted = list(eas)
    if any(_FORBIDDEN & set(ea.name) for ea in wanted):
        raise SmbError(Status.INVALID_EA_NAME)
    known = {xattr.lower(): xattr for xattr in await volume.list_xattrs(inode) if xattr.startswith(PREFIX)}
    for ea in wanted:
        xattr = known.get((PREFIX + ea.name).lower(), PREFIX + ea.name)
        if ea.value:
            await volume.set_xattr(inode, xattr, ea.value)
            continue
        try:
            await volume.remove_xattr(inode, xattr)
        except NoAttribute:
            continue
