"""Sessions whose Kerberos ticket is over: they wait for their client to log in again (MS-SMB2 3.3.5.2.9)."""

from __future__ import annotations

from math import inf

import trio

from odxfs.smb.sessions import Session, SessionState


class SessionExpiry:
    """Makes sessions EXPIRED when their time comes, so that a request need not look at a clock. Times are trio's."""

    def __init__(self) -> None:
        self._sessions: dict[int, Session] = {}
        self._changed = trio.Event()

    def renew(self, session: Session, expires_at: float) -> None:
        """A login to `session` has succeeded, which is good until then (`inf`: for ever)."""
        session.expires_at = expires_at
        if expires_at < inf:
            self._sessions[session.id] = session
            self._changed.set()

    def forget(self, session: Session) -> None:
        """The session has ended."""
        self._sessions.pop(session.id, None)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._changed = trio.Event()
            now = trio.current_time()
            for session in list(self._sessions.values()):
                if session.expires_at <= now:
                    self._expire(session)
            following = min((session.expires_at for session in self._sessions.values()), default=inf)
            with trio.move_on_at(following):
                await self._changed.wait()

    def _expire(self, session: Session) -> None:
        self.forget(session)
        if session.state is SessionState.VALID:
            session.state = SessionState.EXPIRED
