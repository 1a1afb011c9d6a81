"""Copy tokens on the mount, by extended attributes (`odxfs.token_attributes`): FSCTL_OFFLOAD_READ and _WRITE for local programs.

So a program copies by sharing extents also where the extension is absent, and a token may be read here and written over there.
"""

import errno

import pyfuse3

from odxfs.errors import OffloadRefused
from odxfs.ntstatus import Status
from odxfs.offload import Mechanism, OffloadEngine, OffloadParty, ReadCall, WriteCall
from odxfs.offload.rules import READ_INPUT_BYTES, READ_OUTPUT_BYTES, WRITE_INPUT_BYTES, WRITE_OUTPUT_BYTES
from odxfs.opens import OpenTable
from odxfs.token_attributes import TokenAnswer, parse_read, parse_write
from odxfs.volume import Inode, Volume

_STATUS_ERRNOS = {
    Status.INVALID_TOKEN: errno.EKEYEXPIRED,
    Status.INSUFFICIENT_RESOURCES: errno.EBUSY,
    Status.DEVICE_UNREACHABLE: errno.EHOSTUNREACH,
    Status.FILE_LOCK_CONFLICT: errno.EAGAIN,
    Status.NOT_SUPPORTED: errno.EOPNOTSUPP,
    Status.OFFLOAD_READ_FILE_NOT_SUPPORTED: errno.EOPNOTSUPP,
    Status.MEDIA_WRITE_PROTECTED: errno.EROFS,
    Status.DISK_FULL: errno.ENOSPC,
}
"""What a refusal is to a local program, by what it would be to a client of the share; any other is EINVAL.

Not ESTALE: the kernel would walk the path again and repeat the call by itself (fs/xattr.c: retry_estale).
"""

MOUNT_CLIENT = "mount"
"""What a call on the mount has in place of a client's address."""

CHANGED_BEHIND_THE_KERNEL = "token"
"""The origin of what is written so: the kernel must be told of it, as of the share's changes."""


class TokenAttributes:
    """Reads and writes tokens for whom the kernel has let through to the attribute."""

    def __init__(self, volume: Volume, opens: OpenTable, engine: OffloadEngine) -> None:
        self._volume = volume
        self._changing = volume.pool.volume(volume.name, CHANGED_BEHIND_THE_KERNEL)
        self._opens = opens
        self._engine = engine

    async def read(self, inode: Inode, name: bytes, context: pyfuse3.RequestContext) -> bytes:
        """The answer with a token. Raises FUSEError: ENODATA for another reserved name, or the refusal's errno."""
        wanted = parse_read(name)
        if wanted is None:
            raise pyfuse3.FUSEError(errno.ENODATA)
        offset, length = wanted
        call = ReadCall(READ_INPUT_BYTES, READ_OUTPUT_BYTES, READ_INPUT_BYTES, 0, offset, length)
        try:
            found = await self._engine.offload_read(self._party(self._volume, inode, context), call)
        except OffloadRefused as refused:
            raise _refused(refused) from refused
        return TokenAnswer(found.transfer_length, found.all_zero_beyond, found.token).pack()

    async def write(self, inode: Inode, name: bytes, token: bytes, context: pyfuse3.RequestContext) -> None:
        """Write all that the name says. Raises FUSEError: EINVAL for another reserved name, or the refusal's errno."""
        wanted = parse_write(name)
        if wanted is None:
            raise pyfuse3.FUSEError(errno.EINVAL)
        offset, length, transfer_offset = wanted
        party = self._party(self._changing, inode, context)
        while length:
            call = WriteCall(
                WRITE_INPUT_BYTES + len(token) - 512,
                WRITE_OUTPUT_BYTES,
                WRITE_INPUT_BYTES,
                offset,
                length,
                transfer_offset,
                token,
            )
            try:
                with self._opens.changing(inode.number):
                    written = await self._engine.offload_write(party, call)
            except OffloadRefused as refused:
                raise _refused(refused) from refused
            if not written:
                raise pyfuse3.FUSEError(errno.EINVAL)
            offset, transfer_offset, length = (
                offset + written, transfer_offset + written, max(0, length - written)
            )  # fmt: skip

    def _party(self, volume: Volume, inode: Inode, context: pyfuse3.RequestContext) -> OffloadParty:
        opens, number = self._opens, inode.number
        return OffloadParty(
            volume=volume,
            inode=inode,
            readable=True,
            writable=True,
            read_only=bool(inode.snapshot),
            enabled=True,
            read_conflicts=lambda offset, length: opens.local_read_conflicts(number, offset, length, None),
            write_conflicts=lambda offset, length: opens.local_write_conflicts(number, offset, length, None),
            owner=f"uid {context.uid}",
            client=MOUNT_CLIENT,
            mechanism=Mechanism.TOKEN_ATTRIBUTE,
        )


def _refused(refused: OffloadRefused) -> pyfuse3.FUSEError:
    return pyfuse3.FUSEError(_STATUS_ERRNOS.get(refused.status, errno.EINVAL))
