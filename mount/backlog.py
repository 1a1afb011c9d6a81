"""Requests of the kernel that wait already or come at once, taken without a turn of the event loop.

pyfuse3 waits for its descriptor before every request: a task switch, two epoll calls and a lock, which take longer than most
of our answers. Under load the next request is there before the last one is answered, or a moment later. So we ask
poll(2) first, look for a moment where that pays (`odxfs.busy_polling`), and only go to sleep when nothing comes.

It replaces pyfuse3's `_wait_fuse_readable`, a private function that each of its tasks calls for every request. A
pyfuse3 without it is left as it is.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from time import perf_counter

import pyfuse3
import trio

from odxfs.busy_polling import BusyPolling

_NAME = "_wait_fuse_readable"

_TURN_SECONDS = 2e-3
"""For how long requests are taken one after the other before other tasks get their turn; a connection of the share has 10 ms.

A turn costs 10 to 30 us: an idle task of pyfuse3 wakes up as well, and may take the next request. A read of 1 MiB takes 400 us,
so one after each would cost a twentieth of the speed.
"""

_pyfuse3_waits: Callable[[], Awaitable[bool]] | None = getattr(pyfuse3, _NAME, None)


class Backlog:
    """What stands in for pyfuse3's waiting while one mount is served; made after `pyfuse3.init`.

    `work` is called before sleeping, again and again until it returns False: there was nothing (more) to do. `may_look` says
    whether nobody waits for the event loop meanwhile.
    """

    def __init__(self, work: Callable[[], bool], may_look: Callable[[], bool]) -> None:
        self._work = work
        self._may_look = may_look
        self._polling: BusyPolling
        self._turn_ends = 0.0

    def begin(self) -> None:
        """Take requests this way from now on. Without effect where pyfuse3 or the system is not as we know them."""
        descriptor = _session_descriptor()
        if _pyfuse3_waits is None or descriptor is None:
            return
        self._polling = BusyPolling(descriptor)
        setattr(pyfuse3, _NAME, self.wait)

    def end(self) -> None:
        """Leave pyfuse3 as it was."""
        if _pyfuse3_waits is not None:
            setattr(pyfuse3, _NAME, _pyfuse3_waits)

    async def wait(self) -> bool:
        """Return when a request can be read without blocking, or the mount is gone; False: the loop shall end.

        Several tasks come here. Each one reads as soon as this returns, so no request is promised to two of them; one
        that another has taken meanwhile is looked for once more, since reading in vain would block the whole process.
        """
        assert _pyfuse3_waits is not None
        polling = self._polling
        if perf_counter() > self._turn_ends:
            polling.sleeps()  # for those of us who do: one of them may wake up
            await trio.lowlevel.checkpoint()
            self._turn_ends = perf_counter() + _TURN_SECONDS
        while not polling.is_ready():
            if self._work():
                continue
            if self._may_look() and polling.comes_at_once():
                break
            polling.sleeps()
            if not await _pyfuse3_waits():
                return False
            polling.woke()
            self._turn_ends = perf_counter() + _TURN_SECONDS
        return True


def _session_descriptor() -> int | None:
    """pyfuse3 does not tell; it has one session a process, and so one descriptor of the FUSE device."""
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # the listing's own descriptor is closed already
            if entry.readlink() == Path("/dev/fuse"):
                return int(entry.name)
    return None
