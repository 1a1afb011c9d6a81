"""One received message on its way through the handlers: a single request or a compound, in order (MS-SMB2 3.3.5.2.7)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

from odxfs.ntstatus import Status
from odxfs.smb.dispatch import dispatch
from odxfs.smb.pending import PendingRequest
from odxfs.smb.request import Answer, RequestContext, Response, SmbError
from odxfs.types import Buffer
from odxfs.wire.error import ErrorResponse
from odxfs.wire.exchange import Chain, Reply, Request
from odxfs.wire.header import Command, HeaderFlags
from odxfs.wire.read import ReadResponse

if TYPE_CHECKING:
    from odxfs.smb.connection import Connection

_MAY_BE_CANCELLED = frozenset({Command.READ, Command.WRITE, Command.FLUSH})
"""Requests that the disk keeps waiting and that leave nothing half done, whenever they are given up."""

_NEVER_PENDING = frozenset({Command.NEGOTIATE, Command.SESSION_SETUP})
"""No client expects an interim answer to what only a login needs; it waits for that one answer anyway."""


def make_reply(request: Request, status: Status, response: Response) -> Reply:
    """The reply to `request`; file data stays a buffer of its own."""
    if type(response) is ReadResponse and response.data:
        return Reply(request, status, response.pack_head(), response.data)
    return Reply(request, status, response.pack())


def _cancellable(context: RequestContext, scope: trio.CancelScope) -> trio.CancelScope | None:
    return scope if context.header.command in _MAY_BE_CANCELLED else None


class CompoundRun:
    """Executes the requests of one chain one after the other and sends what they answer.

    `detached` is set when it had to wait and the connection went on without it; until then its replies are gathered.
    Only the last request of a compound may wait (go asynchronous): then the answers so far leave first, and its own leaves
    alone.
    """

    def __init__(self, connection: Connection, chain: Chain) -> None:
        self._connection = connection
        self._chain = chain
        self._replies: list[Reply] = []
        self._afterwards: list[Callable[[], None]] = []
        self._pending: PendingRequest | None = None
        self._at_work: tuple[RequestContext, trio.CancelScope] | None = None
        self._released = False
        self.detached = False
        self.credits = sum(request.header.credit_charge or 1 for request in chain.requests)
        self._previous: RequestContext | None = None

    async def run(self) -> None:
        """Answer every request. Raises OSError and PeerStalled when the peer is gone, ProtocolError to drop the connection."""
        try:
            for request in self._chain.requests:
                await self._one(request)
            await self._flush()
        finally:
            if self._pending is not None:
                self._connection.pending.discard(self._pending)

    def release_credits(self) -> None:
        """Give the connection back what this run counts for, once."""
        if not self._released:
            self._released = True
            self._connection.give_back(self.credits)

    async def _one(self, request: Request) -> None:
        context = self._context(request)
        with trio.CancelScope() as scope:
            context.pender = lambda: self._waiting(context, scope)
            self._at_work = context, scope
            answer = await dispatch(context)
        # Both refer to the context: without the circle the frame goes at once, not with the next collection.
        context.pender = self._at_work = None
        if scope.cancelled_caught:
            answer = Answer(Status.CANCELLED, ErrorResponse())
        reply = make_reply(request, answer.status, answer.response)
        reply.session_id, reply.tree_id = context.reply_session_id, context.reply_tree_id
        if self._pending is not None:
            reply.async_id = self._pending.async_id
        self._replies.append(reply)
        self._afterwards += context.afterwards
        if context.open is None and context.related_failure is None and answer.status >= 0xC000_0000:
            context.related_failure = answer.status
        self._previous = context

    def _context(self, request: Request) -> RequestContext:
        connection = self._connection
        context = RequestContext(
            connection.server,
            connection,
            request,
            request.header,
            request.pdu,
            encrypted=self._chain.encrypted,
        )
        is_last = request is self._chain.requests[-1]
        context.may_pend = is_last and request.header.command not in _NEVER_PENDING
        previous = self._previous
        if request.header.flags & HeaderFlags.RELATED and previous is not None:
            context.related = True
            context.bound_tree, context.open = previous.bound_tree, previous.open
            context.related_failure = previous.related_failure
        return context

    @asynccontextmanager
    async def _waiting(self, context: RequestContext, scope: trio.CancelScope) -> AsyncIterator[None]:
        pending = await self._pend(context, scope)
        with trio.CancelScope() as wait, pending.ending(wait):
            yield
        if wait.cancelled_caught:
            raise SmbError(Status.CANCELLED)

    async def _pend(self, context: RequestContext, scope: trio.CancelScope) -> PendingRequest:
        if self._pending is not None:
            self.release_credits()  # the disk has kept it waiting before
            self._let_go(context)
            return self._pending
        if context.request is not self._chain.requests[-1]:
            raise SmbError(Status.INTERNAL_ERROR, "only the last request of a compound may wait")
        pending = self._connection.pending.add(context, _cancellable(context, scope))
        self._pending = pending
        buffers = self._pack()
        if buffers:
            await self._connection.tell(buffers)
            self._go_on()
        interim = self._connection.protocol.interim(self._chain, context.request, pending.async_id)
        self.release_credits()
        self._let_go(context)
        await self._connection.tell(interim)
        pending.arm()
        return pending

    def tell_waiting(self) -> None:
        """Send an interim answer for the request at work, if it may have one and had none: the disk keeps it waiting.

        No credits are granted with it, and what the request brought counts on: the client sends no more because of this one.
        """
        if self._at_work is None or self._pending is not None or not self._at_work[0].may_pend:
            return
        context, scope = self._at_work
        try:
            pending = self._connection.pending.add(context, _cancellable(context, scope))
        except SmbError:
            return  # it goes on waiting in silence, as the rest of so many
        self._pending = pending
        self.hand_over()
        self._connection.post(
            self._connection.protocol.interim(
                self._chain, context.request, pending.async_id, with_credits=False
            )
        )
        pending.arm()

    def _let_go(self, context: RequestContext) -> None:
        """Keep a copy of the request that waits, not the frame it came in: a write of 8 MiB may stand before it there."""
        context.pdu = context.request.pdu = memoryview(bytes(context.pdu))
        del self._chain.requests[:-1]
        self._previous = None

    def hand_over(self) -> None:
        """Give the connection what has been answered so far, for its next send."""
        buffers = self._pack()
        if buffers:
            self._connection.gather(buffers)
            self._go_on()

    async def _flush(self) -> None:
        if not self.detached:
            self.hand_over()
            return
        buffers = self._pack()
        if buffers:
            await self._connection.sender.send(buffers)
            self._go_on()

    def _pack(self) -> list[Buffer]:
        replies, self._replies = self._replies, []
        return self._connection.protocol.send(self._chain, replies) if replies else []

    def _go_on(self) -> None:
        """Do what was to follow the answers."""
        afterwards, self._afterwards = self._afterwards, []
        for act in afterwards:
            act()
