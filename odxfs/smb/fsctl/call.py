"""The shape of an FSCTL handler, and what several of them need."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from odxfs.errors import OdxfsError
from odxfs.ntstatus import Status, status_name
from odxfs.offload import Caller, CallRecord, Mechanism, file_text
from odxfs.smb.request import SmbError

if TYPE_CHECKING:
    from odxfs.smb.opens import SmbOpen
    from odxfs.smb.request import RequestContext
    from odxfs.volume import Inode
    from odxfs.wire.ioctl import IoctlRequest

    Fsctl = Callable[[RequestContext, "SmbOpen | None", IoctlRequest], Awaitable[bytes]]

MAX_OFFSET = 2**63 - 1


class FsctlAnswer(OdxfsError):
    """An answer with a status other than success that still carries an output buffer (MS-SMB2 3.3.4.4 lists them)."""

    def __init__(self, status: Status, output: bytes) -> None:
        super().__init__(status_name(status))
        self.status = status
        self.output = output


def needed(opened: SmbOpen | None) -> SmbOpen:
    """The open of an FSCTL that has one: the dispatcher has looked it up."""
    assert opened is not None
    return opened


def file_of(opened: SmbOpen | None) -> tuple[SmbOpen, Inode]:
    """The open and its regular file; SmbError(INVALID_DEVICE_REQUEST) for pipes, INVALID_PARAMETER for directories."""
    found = needed(opened)
    if found.is_pipe:
        raise SmbError(Status.INVALID_DEVICE_REQUEST)
    if not found.inode.is_file:
        raise SmbError(Status.INVALID_PARAMETER)
    return found, found.inode


def check_range(offset: int, length: int) -> None:
    """INVALID_PARAMETER for a range that begins before 0, is negative or ends past the largest offset."""
    if offset < 0 or length < 0 or offset + length > MAX_OFFSET:
        raise SmbError(Status.INVALID_PARAMETER)


def check_write_locks(context: RequestContext, opened: SmbOpen, offset: int, length: int) -> None:
    """FILE_LOCK_CONFLICT when a byte-range lock forbids changing these bytes."""
    if context.server.opens.write_conflicts(opened.inode.number, offset, length, opened.entry):
        raise SmbError(Status.FILE_LOCK_CONFLICT)


def check_read_locks(context: RequestContext, opened: SmbOpen, offset: int, length: int) -> None:
    """FILE_LOCK_CONFLICT when a byte-range lock of another open forbids reading these bytes."""
    if context.server.opens.read_conflicts(opened.inode.number, offset, length, opened.entry):
        raise SmbError(Status.FILE_LOCK_CONFLICT)


def caller_of(context: RequestContext, opened: SmbOpen) -> Caller:
    """Who makes a call through `opened`, for counters and traces."""
    user = context.session.user
    return Caller(
        svm=context.server.name,
        share=opened.tree.share.name,
        owner=user.name if user is not None else "",
        client=context.connection.peer_address[0],
        path=opened.path,
    )


def recorded_copy(
    context: RequestContext, mechanism: Mechanism, destination: SmbOpen
) -> AbstractContextManager[CallRecord]:
    """Around a copy into `destination`, whose range the record learns of later: it is counted and told however it ends."""
    caller = caller_of(context, destination)
    return context.server.engine.recorded(mechanism, "write", caller, *volume_and_number(destination), 0, 0)


def volume_and_number(opened: SmbOpen) -> tuple[str, int]:
    """The volume and the inode of an open, as traces name them; of a pipe neither."""
    return ("", 0) if opened.is_pipe else (opened.volume.name, opened.inode.number)


def text_of(opened: SmbOpen) -> str:
    """The open's file as traces name it."""
    return "" if opened.is_pipe else file_text(opened.volume.name, opened.path, opened.inode.number)
