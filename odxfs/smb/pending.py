"""The requests of one connection that were answered STATUS_PENDING and go on (MS-SMB2 3.3.1.7, AsyncCommandList)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count

import trio

from odxfs.ntstatus import Status
from odxfs.smb.limits import MAX_PENDING_BYTES, MAX_PENDING_REQUESTS
from odxfs.smb.request import RequestContext, SmbError

_TURNS = 3
"""Of trio's scheduler: the handler ends in one, its answer leaves in another, and who shares a turn goes first by chance."""


@dataclass(slots=True, eq=False)
class PendingRequest:
    """`scope` is around what a cancel ends: what the handler waits for at the moment, or a READ, WRITE or FLUSH as a whole.

    While it is None a cancel waits for the next such wait, and is without effect where none comes: what has begun is done.
    `kept_bytes` is the length of the request, of which the handler may keep anything while it waits.
    A cancel that comes while the interim answer is being sent waits for `arm`: half an answer would break the stream.
    """

    async_id: int
    context: RequestContext
    scope: trio.CancelScope | None
    armed: bool = False
    cancelled: bool = False
    kept_bytes: int = 0

    def cancel(self) -> None:
        """End the wait, now or as soon as the interim answer is out."""
        self.cancelled = True
        self._obey()

    def arm(self) -> None:
        """The interim answer is out."""
        self.armed = True
        self._obey()

    @contextmanager
    def ending(self, scope: trio.CancelScope) -> Iterator[None]:
        """Within this a cancel ends `scope`."""
        before, self.scope = self.scope, scope
        self._obey()
        try:
            yield
        finally:
            self.scope = before

    def _obey(self) -> None:
        if self.armed and self.cancelled and self.scope is not None:
            self.scope.cancel()


class PendingRequests:
    """Async ids count up from 1 and are never used twice on a connection."""

    def __init__(self) -> None:
        self._ids = count(1)
        self._requests: dict[int, PendingRequest] = {}
        self._kept_bytes = 0
        self._early: deque[tuple[int, int]] = deque(maxlen=MAX_PENDING_REQUESTS)

    def __len__(self) -> int:
        return len(self._requests)

    def add(self, context: RequestContext, scope: trio.CancelScope | None) -> PendingRequest:
        """Register a request that is about to wait. Raises SmbError(INSUFFICIENT_RESOURCES) past the bounds."""
        kept_bytes = len(context.pdu)
        if len(self._requests) >= MAX_PENDING_REQUESTS or self._kept_bytes + kept_bytes > MAX_PENDING_BYTES:
            raise SmbError(Status.INSUFFICIENT_RESOURCES, "too much waits on this connection")
        pending = PendingRequest(next(self._ids), context, scope, kept_bytes=kept_bytes)
        self._kept_bytes += kept_bytes
        header = context.header
        pending.cancelled = (header.session_id, header.message_id) in self._early
        self._requests[pending.async_id] = pending
        return pending

    def discard(self, pending: PendingRequest) -> None:
        """The request has been answered."""
        if self._requests.pop(pending.async_id, None) is not None:
            self._kept_bytes -= pending.kept_bytes

    def cancel(self, wanted: Callable[[PendingRequest], bool]) -> list[PendingRequest]:
        """Cancel every waiting request that `wanted` says yes to; these."""
        cancelled = [pending for pending in self._requests.values() if wanted(pending)]
        for pending in cancelled:
            pending.cancel()
        return cancelled

    def cancel_message(self, session_id: int, message_id: int) -> list[PendingRequest]:
        """Cancel the request of that MessageId, also when it has not come to waiting yet: it then ends as soon as it does.

        Message ids are used once, so one that was answered meanwhile is simply never asked for again.
        """

        def is_meant(pending: PendingRequest) -> bool:
            header = pending.context.header
            return (header.session_id, header.message_id) == (session_id, message_id)

        cancelled = self.cancel(is_meant)
        if not cancelled:
            self._early.append((session_id, message_id))
        return cancelled

    async def let_answer(self, cancelled: Iterable[PendingRequest]) -> None:
        """Let what was cancelled be answered before what came after the CANCEL, where nothing is left to do but that."""
        for pending in cancelled:
            for _ in range(_TURNS):
                if pending.async_id not in self._requests:
                    break
                await trio.lowlevel.checkpoint()
