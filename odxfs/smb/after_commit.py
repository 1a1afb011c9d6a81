"""Answers that leave when a commit has made durable what they are about: writes through the cache, and FLUSH.

The request has done its work; what is left is to wait, which takes no task of its own: one task a connection waits for the
commit and sends all that it answers with one call. Hyper-V writes nothing but so. With 16 in flight a write took 127 us of
processor time where a task a request took 224.

Where the disk keeps them waiting for long, each goes on in a task of its own after all: it gets an interim answer, and its
client may cancel it.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from odxfs.errors import VolumeError
from odxfs.ntstatus import Status
from odxfs.smb.compound import make_reply
from odxfs.smb.dispatch import refuse
from odxfs.smb.request import AfterCommit, Answer, SmbError
from odxfs.smb.sending import PeerStalled
from odxfs.wire.cursor import EMPTY
from odxfs.wire.error import ErrorResponse

if TYPE_CHECKING:
    from odxfs.smb.connection import Connection
    from odxfs.types import Buffer
    from odxfs.volume import Volume
    from odxfs.wire.exchange import Chain

logger = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Waiting:
    """One request. `alone` is set when its commit is done, where a task of its own is to answer it then."""

    chain: Chain
    after: AfterCommit
    alone: trio.Event | None = None
    is_answered: bool = False
    failure: Exception | None = None

    def enter(self) -> None:
        """Count as at work in the session and on the connection, as requests with a handler do."""
        context = self.after.context
        context.session.running[id(self)] = context
        context.connection.take(context.header.credit_charge or 1)

    def leave(self) -> None:
        """The request is answered, or will not be. Once only counts."""
        context = self.after.context
        if context.session.running.pop(id(self), None) is not None:
            context.connection.give_back(context.header.credit_charge or 1)


class AnswersAfterCommit:
    """Those of one connection, which owns it and runs its tasks."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._next: list[_Waiting] = []
        self._under_way: list[_Waiting] = []
        self._runs = False

    def add(self, chain: Chain, after: AfterCommit) -> None:
        """Answer the lone request of `chain` when the next commit to begin is done. Lets go the frame it came in."""
        context = after.context
        context.pdu = context.request.pdu = EMPTY
        self._next.append(_Waiting(chain, after))
        self._next[-1].enter()
        if not self._runs:
            self._runs = True
            self._connection.start(self._run)

    def tell_waiting(self) -> None:
        """The disk is slow: from here on each request waits in a task of its own."""
        for waiting in (*self._under_way, *self._next):
            if waiting.alone is None and not waiting.is_answered:
                waiting.alone = trio.Event()
                self._connection.start(self._wait_alone, waiting, waiting.alone)

    async def _run(self) -> None:
        try:
            while self._next:
                self._under_way, self._next = self._next, []
                await self._answer(self._under_way)
        except (OSError, PeerStalled) as error:
            self._connection.abort(f"the peer is gone: {error}")
        finally:
            for waiting in (*self._under_way, *self._next):  # none, unless the connection is lost
                if waiting.alone is None:
                    waiting.leave()
            self._runs, self._under_way = False, []

    async def _answer(self, batch: list[_Waiting]) -> None:
        """One commit, or one a pool where the connection uses several, and the answers to all that waited for it."""
        for volume in {waiting.after.volume.pool: waiting.after.volume for waiting in batch}.values():
            failure = await _failure_of_commit(volume)
            buffers: list[Buffer] = []
            for waiting in batch:
                if waiting.after.volume.pool is not volume.pool:
                    continue
                waiting.failure = failure
                if waiting.alone is not None:
                    waiting.alone.set()
                else:
                    waiting.is_answered = True
                    buffers += self._packed(waiting, _outcome(waiting))
            if buffers:
                await self._connection.sender.send(buffers)

    def _packed(self, waiting: _Waiting, answer: Answer, async_id: int = 0) -> list[Buffer]:
        waiting.leave()
        reply = make_reply(waiting.after.context.request, answer.status, answer.response)
        reply.async_id = async_id
        return self._connection.protocol.send(waiting.chain, (reply,))

    async def _wait_alone(self, waiting: _Waiting, committed: trio.Event) -> None:
        connection, after = self._connection, waiting.after
        try:
            with trio.CancelScope() as scope:
                try:
                    pending = connection.pending.add(after.context, scope)
                except SmbError:
                    pending = None  # it waits in silence, as the rest of so many
                if pending is not None:
                    interim = connection.protocol.interim(
                        waiting.chain, after.context.request, pending.async_id, with_credits=False
                    )
                    connection.post(interim)
                    pending.arm()
                await committed.wait()
                answer = _outcome(waiting)
            if scope.cancelled_caught:
                answer = Answer(Status.CANCELLED, ErrorResponse())
            async_id = pending.async_id if pending is not None else 0
            await connection.sender.send(self._packed(waiting, answer, async_id))
            if pending is not None:
                connection.pending.discard(pending)
        except (OSError, PeerStalled) as error:
            connection.abort(f"the peer is gone: {error}")
        finally:
            waiting.leave()


async def _failure_of_commit(volume: Volume) -> Exception | None:
    try:
        await volume.sync()
    except VolumeError as error:
        return error
    except Exception as error:
        logger.exception("a commit failed for a reason that is no client's")
        return error
    return None


def _outcome(waiting: _Waiting) -> Answer:
    if isinstance(waiting.failure, VolumeError):
        return refuse(waiting.after.context, waiting.failure)
    if waiting.failure is not None:
        return Answer(Status.INTERNAL_ERROR, ErrorResponse())
    return Answer(Status.SUCCESS, waiting.after.response)
