"""Breaks on their way to clients, and how long an answer is waited for (MS-SMB2 3.3.4.6, 3.3.4.7, 3.3.6.1)."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import trio

from odxfs.opens import Break
from odxfs.smb.caching.leases import Lease
from odxfs.smb.caching.oplocks import Oplock, level_after
from odxfs.smb.closing import close_open
from odxfs.smb.durable.durability import Kind
from odxfs.smb.durable.persistence import note_grant
from odxfs.smb.limits import BREAK_SECONDS, CHANNEL_ROUNDS, MIN_ROUND_SECONDS, SILENT_SECONDS
from odxfs.smb.opens import SmbOpen
from odxfs.smb.sessions import SessionState
from odxfs.wire.header import Command
from odxfs.wire.oplock_break import LeaseBreakFlags, LeaseBreakNotification, OplockBreakNotification

if TYPE_CHECKING:
    from odxfs.opens import Grant
    from odxfs.smb.connection import Connection
    from odxfs.smb.request import RequestContext
    from odxfs.smb.server import SmbServer
    from odxfs.smb.sessions import Session

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Notice:
    """A break as it goes out; `encrypt`: it concerns a share that wants encryption."""

    body: bytes
    encrypt: bool


@dataclass(frozen=True, slots=True)
class _Sent:
    """The way that a break took last, what the peer had confirmed there before it, and when to look again."""

    channel: Connection
    confirmed_bytes: int | None
    silent_at: float

    @property
    def is_unheard(self) -> bool:
        """Whether the peer's TCP has confirmed nothing since. One that is slow confirms something."""
        return not self.channel.has_delivered and self.channel.confirmed_bytes == self.confirmed_bytes


class Breaks:
    """Owned by the server, which runs `run` beside its listener. Telling never waits."""

    def __init__(self, server: SmbServer) -> None:
        self._server = server
        self._due: dict[Grant, float] = {}
        self._sent: dict[Grant, _Sent] = {}
        self._added = trio.Event()
        self._held_back: list[Callable[[], None]] | None = None
        self._nursery: trio.Nursery | None = None

    def __len__(self) -> int:
        return len(self._due)

    def tell_oplock(self, opened: SmbOpen, grant: Grant, change: Break) -> None:
        """Send the break of an oplock."""
        self._expect(grant, change)
        self._tell_oplock(opened, grant, change)

    def _tell_oplock(self, opened: SmbOpen, grant: Grant, change: Break) -> None:
        if not _is_reachable(opened):
            self.break_parked(opened)
            return
        body = OplockBreakNotification(level_after(change), opened.fid).pack()
        self._send(grant, opened.session, _Notice(body, opened.tree.encrypt_data))

    def tell_lease(self, lease: Lease, change: Break) -> None:
        """Send the break of a lease to its client, on its oldest connection, as Windows does."""
        self._expect(lease.grant, change)
        self._tell_lease(lease, change)

    def _tell_lease(self, lease: Lease, change: Break) -> None:
        opens = [entry.owner for entry in lease.grant.entries if isinstance(entry.owner, SmbOpen)]
        reachable = list(filter(_is_reachable, opens))
        if not reachable:
            for parked in opens:
                self.break_parked(parked)
            return
        message = LeaseBreakNotification(
            lease_key=lease.key,
            current_lease_state=change.before,
            new_lease_state=change.after,
            new_epoch=lease.epoch if lease.is_v2 else 0,
            flags=LeaseBreakFlags.ACK_REQUIRED if change.acknowledged else 0,
        )
        notice = _Notice(message.pack(), any(opened.tree.encrypt_data for opened in reachable))
        self._send(lease.grant, self._oldest_session(lease, reachable), notice)

    def tell_again(self, grant: Grant | None) -> None:
        """A client has come back for an open while a break of this waits for its answer, and may not have heard of it.

        It has the rest of the time that it had: whoever waits for it does not wait longer.
        """
        if grant is None or not grant.breaking:
            return
        change = Break(grant.state, grant.asked, acknowledged=True, first=False)
        if isinstance(grant.holder, Lease):
            self._tell_lease(grant.holder, change)
        elif isinstance(grant.holder, Oplock):
            self._tell_oplock(grant.holder.opened, grant, change)

    @contextmanager
    def behind_the_answer(self, context: RequestContext) -> Iterator[None]:
        """What is told inside is sent when the request has been answered. No checkpoint may lie inside."""
        held_back: list[Callable[[], None]] = []
        self._held_back = held_back
        try:
            yield
        finally:
            self._held_back = None
            context.afterwards += tuple(held_back)

    def _oldest_session(self, lease: Lease, opens: list[SmbOpen]) -> Session:
        """The session of the lease's client that stands longest, of a user who has one of these opens.

        A ClientGuid proves nothing: another user who calls himself the same must not hear what is meant for this one.
        """
        users = {opened.session.user_name for opened in opens}
        sessions = [
            session
            for session in self._server.sessions.values()
            if session.state is SessionState.VALID
            and session.user_name in users
            and session.connection.client_guid == lease.client_guid
        ]
        return min(sessions, key=lambda session: session.connection.number, default=opens[0].session)

    def _send(self, grant: Grant, session: Session, notice: _Notice) -> None:
        """Over the session's first channel, and over the others in turn while none has brought it to the client."""
        if self._held_back is not None:
            self._held_back.append(partial(self._send, grant, session, notice))
            return
        used = self._post(grant, session, notice)
        if used is not None and grant.breaking and len(session.channels) > 1 and self._nursery is not None:
            self._nursery.start_soon(self._kept_to_itself, self._send_again, grant, session, notice, used)

    def _post(
        self, grant: Grant, session: Session, notice: _Notice, without: Collection[Connection] = ()
    ) -> Connection | None:
        """Without a signature, encrypted where session or share are (3.3.4.1.1, 3.3.4.1.4).

        Returns the channel that took it, None where none is left.
        """
        for connection in tuple(session.channels):
            message = connection.protocol.unsolicited(
                session.id, Command.OPLOCK_BREAK, notice.body, encrypt=notice.encrypt
            )
            if connection not in without and connection.post(message):
                if grant in self._due:
                    self._sent.pop(grant, None)
                    self._sent[grant] = _Sent(
                        connection, connection.confirmed_bytes, trio.current_time() + SILENT_SECONDS
                    )
                return connection
        return None

    async def _send_again(self, grant: Grant, session: Session, notice: _Notice, used: Connection) -> None:
        """A channel whose network has failed looks like any other, but what it was given is not confirmed to have arrived.

        Such a channel is dropped where its sessions can do without, so that no later break and no answer waits for it; the
        last one stays until the answer is due, since its client may come back.
        """
        due, tried = self._due.get(grant), [used]
        while (sent := self._sent.get(grant)) is not None and sent.channel is tried[-1]:
            await trio.sleep(CHANNEL_ROUNDS * sent.channel.round_seconds)
            if sent.channel.has_delivered or self._due.get(grant) != due:
                return
            if sent.is_unheard and sent.channel.is_dispensable:
                sent.channel.give_up("it does not confirm a break, which takes another connection")
                with trio.move_on_after(
                    MIN_ROUND_SECONDS
                ):  # its client is not to acknowledge there what it hears here
                    await sent.channel.ended.wait()
            following = self._post(grant, session, notice, tried)
            if following is None:
                return
            tried.append(following)

    def break_parked(self, opened: SmbOpen) -> None:
        """What an open caches whose client is not there is wanted by somebody: such an open is closed (3.3.4.6, 3.3.4.7).

        One that is kept in any case stays; its client has as long to come back as it would have to answer.
        """
        durability = opened.durability
        if durability is not None and not durability.yields:
            return
        if self._nursery is not None:
            if durability is not None:
                durability.kind = Kind.NONE  # in this step: its client may come back before it is closed
            self._nursery.start_soon(self._kept_to_itself, close_open, self._server, opened)

    async def _kept_to_itself(self, act: Callable[..., Awaitable[None]], *arguments: object) -> None:
        """What goes wrong on the way to one client must not end the others'."""
        try:
            await act(*arguments)
        except Exception:
            logger.exception("a break failed for a reason that is not the client's")

    def forget(self, grant: Grant) -> None:
        """Nothing is waited for any more."""
        self._due.pop(grant, None)
        self._sent.pop(grant, None)

    async def run(self) -> None:
        """Take what is not acknowledged in time, until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            try:
                while True:
                    await self._next()
            finally:
                self._nursery = None

    async def _next(self) -> None:
        """Wait for the first answer that is due, for the first client that is silent, or for a break."""
        grant = next(iter(self._due), None)
        if grant is None:
            self._added = trio.Event()
            await self._added.wait()
            return
        due = self._due[grant]
        told, sent = next(iter(self._sent.items()), (grant, None))
        if sent is not None and sent.silent_at < due:
            await trio.sleep_until(sent.silent_at)
            if self._sent.get(told) is sent:
                del self._sent[told]
                if sent.is_unheard:
                    sent.channel.give_up("its peer is silent while a break waits for it")
            return
        await trio.sleep_until(due)
        if self._due.get(grant) == due:
            self.forget(grant)
            await self._kept_to_itself(self._expire, grant)

    async def _expire(self, grant: Grant) -> None:
        if grant.breaking:
            logger.info("a break of inode %d was not acknowledged in %.0f s", grant.number, BREAK_SECONDS)
            self._server.opens.grants.expire(grant)
            note_grant(self._server, grant)

    def _expect(self, grant: Grant, change: Break) -> None:
        self.forget(grant)
        if change.acknowledged:
            self._due[grant] = trio.current_time() + BREAK_SECONDS
            self._added.set()
        note_grant(self._server, grant)  # while the client is asked its lease is in the next epoch already


def _is_reachable(opened: SmbOpen) -> bool:
    return not opened.closed and not opened.is_parked
