"""A CREATE that goes on when the channel it came by is lost and its session lives on another (MS-SMB2 3.3.7.1, 3.3.5.9.10).

Its client asks again by the other channel and must find what the first one opened, or hear that it is still at work. A
CREATE without a CreateGuid cannot be asked for again, and ends with its channel.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import trio

from odxfs.ntstatus import Status
from odxfs.smb.request import SmbError

if TYPE_CHECKING:
    from odxfs.smb.request import RequestContext
    from odxfs.wire.create import CreateResponse


async def outlast_channel(
    context: RequestContext, create_guid: bytes, make: Callable[[], Awaitable[CreateResponse]]
) -> CreateResponse:
    """Run `make`, in a task of the server's own where that may have to outlive this one. Raises what it raises.

    One that is cancelled when it is done is answered: its client would not know what to close.
    """
    nursery = context.server.nursery
    if not create_guid or nursery is None or not context.session.has_channel_besides(context.connection):
        return await make()
    work = _Work(make)
    nursery.start_soon(work.run)
    try:
        await work.done.wait()
    except trio.Cancelled:
        if context.connection.is_ending and context.session.has_channel_besides(context.connection):
            context.may_pend = False  # nobody is left to be told
            raise
        work.scope.cancel()
        with trio.CancelScope(shield=True):
            await work.done.wait()
        if not work.has_response:
            raise
    return work.result()


class _Work:
    """One CREATE at work, and how it ended."""

    def __init__(self, make: Callable[[], Awaitable[CreateResponse]]) -> None:
        self.scope = trio.CancelScope()
        self.done = trio.Event()
        self._make = make
        self._response: CreateResponse | None = None
        self._error: Exception | None = None

    @property
    def has_response(self) -> bool:
        """Whether there is an answer that is no refusal."""
        return self._response is not None

    async def run(self) -> None:
        """Never raises but Cancelled: an error is for who waits, and who is gone asks again."""
        try:
            with self.scope:
                self._response = await self._make()
        except Exception as error:
            self._error = error
        finally:
            self.done.set()

    def result(self) -> CreateResponse:
        """The answer, or what the CREATE raised."""
        if self._error is not None:
            raise self._error
        if self._response is None:
            raise SmbError(Status.CANCELLED, "the server ends")
        return self._response
