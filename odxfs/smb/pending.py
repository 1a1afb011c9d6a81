"""The requests of one connection that were answered STATUS_PENDING and go on (MS-SMB2 3.3.1.7, AsyncCommandList)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

import trio

from odxfs.ntstatus import Status
from odxfs.smb.limits import MAX_PENDING_REQUESTS
from odxfs.smb.request import RequestContext, SmbError


@dataclass(slots=True, eq=False)
class PendingRequest:
    """`scope` is around the handler: cancelling it makes the spine answer STATUS_CANCELLED.

    A cancel that comes while the interim answer is being sent waits for `arm`: half an answer would break the stream.
    """

    async_id: int
    context: RequestContext
    scope: trio.CancelScope
    armed: bool = False
    cancelled: bool = False

    def cancel(self) -> None:
        """End the handler, now or as soon as the interim answer is out."""
        self.cancelled = True
        if self.armed:
            self.scope.cancel()

    def arm(self) -> None:
        """The interim answer is out."""
        self.armed = True
        if self.cancelled:
            self.scope.cancel()


class PendingRequests:
    """Async ids count up from 1 and are never used twice on a connection."""

    def __init__(self) -> None:
        self._ids = count(1)
        self._requests: dict[int, PendingRequest] = {}
        self._early: deque[tuple[int, int]] = deque(maxlen=MAX_PENDING_REQUESTS)

    def __len__(self) -> int:
        return len(self._requests)

    def add(self, context: RequestContext, scope: trio.CancelScope) -> PendingRequest:
        """Register a request that is about to wait. Raises SmbError(INSUFFICIENT_RESOURCES) past the bound."""
        if len(self._requests) >= MAX_PENDING_REQUESTS:
            raise SmbError(Status.INSUFFICIENT_RESOURCES, "too many requests wait on this connection")
        pending = PendingRequest(next(self._ids), context, scope)
        header = context.header
        pending.cancelled = (header.session_id, header.message_id) in self._early
        self._requests[pending.async_id] = pending
        return pending

    def discard(self, pending: PendingRequest) -> None:
        """The request has been answered."""
        self._requests.pop(pending.async_id, None)

    def cancel(self, wanted: Callable[[PendingRequest], bool]) -> None:
        """Cancel every waiting request that `wanted` says yes to."""
        for pending in list(self._requests.values()):
            if wanted(pending):
                pending.cancel()

    def cancel_message(self, session_id: int, message_id: int) -> None:
        """Cancel the request of that MessageId, also when it has not come to waiting yet: it then ends as soon as it does.

        Message ids are used once, so one that was answered meanwhile is simply never asked for again.
        """
        for pending in list(self._requests.values()):
            header = pending.context.header
            if (header.session_id, header.message_id) == (session_id, message_id):
                pending.cancel()
                return
        self._early.append((session_id, message_id))
