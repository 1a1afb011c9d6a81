"""Who may make the next RPC call: a call takes milliseconds in which all else waits, and one client has many pipes."""

from __future__ import annotations

from collections.abc import Iterable

import trio


class CallTurns:
    """Shared by all pipes of a server: of the calls that wait here, one begins each time everybody else has had a turn."""

    def __init__(self) -> None:
        self._lock = trio.Lock()

    async def drive(self, steps: Iterable[None]) -> None:
        """Go through the steps of a write (`Pipe.take`). The first is made at once: most writes have no other."""
        for _ in steps:
            async with self._lock:
                await trio.lowlevel.checkpoint()
