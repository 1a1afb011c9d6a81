"""Extended attributes: FileFullEaInformation over the volume's `user.` xattrs (MS-FSCC 2.4.16, MS-FSA 2.1.5.12.17).

An EA NAME is the xattr `user.NAME`; names are found without case, as Windows demands, and keep the case they were made in.
An EA with an empty value does not exist: setting one deletes it. Other xattr name spaces are not shown.
"""

from odxfs.errors import NoAttribute
from odxfs.ntstatus import Status
from odxfs.smb.request import SmbError
from odxfs.volume import Inode, Volume

PREFIX = b"user."
MAX_EA_BYTES = 64 * 1024
"""All EAs of one file as packed for the wire: FileFullEaInformation's EaSize is what NTFS allows."""

_FORBIDDEN = frozenset(b'\\/:*?"<>|,+=[];') | frozenset(range(0x20))


async def list_eas(volume: Volume, inode: Inode) -> list[tuple[bytes, bytes]]:
    """Every EA of the inode: (name, value)."""
    eas = []
    for xattr in await volume.list_xattrs(inode):
        if xattr.startswith(PREFIX) and (value := await volume.get_xattr(inode, xattr)):
            eas.append((xattr.removeprefix(PREFIX), value))
    return eas


async def ea_size(volume: Volume, inode: Inode) -> int:
    """EaSize (MS-FSCC 2.4.13): the bytes that all EAs take up when packed, 0 when there is none."""
    eas = await list_eas(volume, inode)
    return 4 + sum(5 + len(name) + len(value) for name, value in eas) if eas else 0


async def set_eas(volume: Volume, inode: Inode, eas: list[tuple[bytes, bytes]]) -> None:
    """Set or delete each of `eas`. SmbError(INVALID_EA_NAME) before anything is changed."""
    for name, _ in eas:
        if not name or _FORBIDDEN & set(name):
            raise SmbError(Status.INVALID_EA_NAME)
    known = {xattr.lower(): xattr for xattr in await volume.list_xattrs(inode) if xattr.startswith(PREFIX)}
    for name, value in eas:
        xattr = known.get((PREFIX + name).lower(), PREFIX + name)
        if value:
            await volume.set_xattr(inode, xattr, value)
        else:
            try:
                await volume.remove_xattr(inode, xattr)
            except NoAttribute:
                continue
