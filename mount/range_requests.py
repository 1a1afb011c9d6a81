"""From the extension's requests to the operations on ranges and locks, and back with exactly one answer each."""

import errno
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import pyfuse3
import trio

from . import extension
from .locks import LockOperations, Waiter
from .ranges import RangeOperations

if TYPE_CHECKING:
    from ._extension import Request

log = logging.getLogger("odxfs.mount")

Handler = Callable[..., Awaitable[Any]]


class RequestedOperations(RangeOperations, LockOperations):
    """What the requests ask for."""


class RangeRequests:
    """The object that the extension calls, on the trio thread, inside pyfuse3's handling of a request.

    Each request becomes a task of the mount's nursery, so that pyfuse3 goes on with the next one meanwhile.
    """

    def __init__(self, operations: RequestedOperations) -> None:
        self._operations = operations
        self._nursery: trio.Nursery | None = None

    def arm(self) -> None:
        """Have the session that pyfuse3 makes next hand its requests to this object, if the extension is there."""
        if extension.module is not None:
            extension.module.arm(self)

    def disarm(self) -> None:
        """The session is gone."""
        if extension.module is not None:
            extension.module.disarm()

    def report(self) -> None:
        """Say once in the log when the mount has to do without."""
        if extension.module is None or not extension.module.is_filled():
            reason = extension.missing
            text = "copies on the mount move bytes (use odxfs cp), locks of local programs are not seen by the share"
            log.info("extension=absent reason=%r %s", reason, text)

    def start_in(self, nursery: trio.Nursery) -> None:
        """From now on requests may come; their tasks run in `nursery`."""
        self._nursery = nursery

    def copy_file_range(self, request: "Request", *arguments: int) -> None:
        """Called by the extension: source handle and offset, destination handle and offset, length, flags."""
        self._start(request, self._operations.copy_file_range, request.reply_count, arguments)

    def fallocate(self, request: "Request", *arguments: int) -> None:
        """Called by the extension: handle, mode, offset, length."""
        self._start(request, self._operations.fallocate, request.reply_error, arguments)

    def lseek(self, request: "Request", *arguments: int) -> None:
        """Called by the extension: handle, offset, whence."""
        self._start(request, self._operations.lseek, request.reply_offset, arguments)

    def getlk(self, request: "Request", *arguments: int) -> None:
        """Called by the extension: handle, owner, l_type, l_start, l_len, l_pid, and 0."""
        self._start(request, self._operations.getlk, lambda lock: request.reply_lock(*lock), arguments)

    def setlk(self, request: "Request", *arguments: int) -> None:
        """Called by the extension: handle, owner, l_type, l_start, l_len, l_pid, and whether to wait."""
        self._start_waiting(request, self._operations.setlk, arguments)

    def flock(self, request: "Request", *arguments: int) -> None:
        """Called by the extension: handle, and the operation of flock(2)."""
        self._start_waiting(request, self._operations.flock, arguments)

    def closed(self, fh: int, owner: int) -> None:
        """Called by the extension: `owner` closes a descriptor of the handle. Done on return, before close(2) is answered."""
        self._operations.closed(fh, owner)

    def _start_waiting(self, request: "Request", handler: Handler, arguments: tuple[int, ...]) -> None:
        """Start what waits for other programs: it ends early when its caller is sent a signal, or the mount ends."""
        assert self._nursery is not None, "pyfuse3 serves inside the nursery"
        waiter = Waiter()
        request.when_interrupted(waiter.interrupt)
        waiting = partial(handler, waiter)
        self._nursery.start_soon(_send_result, request, waiting, request.reply_error, arguments)

    def _start(
        self, request: "Request", handler: Handler, reply: Callable[[Any], None], arguments: tuple[int, ...]
    ) -> None:
        assert self._nursery is not None, "pyfuse3 serves inside the nursery"
        self._nursery.start_soon(_answer, request, handler, reply, arguments)


async def _answer(
    request: "Request", handler: Handler, reply: Callable[[Any], None], arguments: tuple[int, ...]
) -> None:
    """Run one operation to its end, whatever is cancelled meanwhile, and answer."""
    with trio.CancelScope(shield=True):
        await _send_result(request, handler, reply, arguments)


async def _send_result(
    request: "Request", handler: Handler, reply: Callable[[Any], None], arguments: tuple[int, ...]
) -> None:
    """Run one operation and answer whatever came of it; EIO when it was cancelled."""
    answer = partial(request.reply_error, errno.EIO)
    try:
        answer = partial(reply, await handler(*arguments))
    except pyfuse3.FUSEError as error:  # the only Exception that an operation lets out (answers)
        answer = partial(request.reply_error, error.errno)
    finally:
        _send(answer)


def _send(answer: Callable[[], None]) -> None:
    try:
        answer()
    except OSError as error:
        # The caller was killed, or the mount is gone: nobody waits for it any more.
        log.info("answer=%s error=%s", answer, error)
