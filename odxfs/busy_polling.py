"""Looking for a peer's next request again and again for a moment, before sleeping until it comes.

A client that waits for each answer before it asks again (a program on a mount always does) lets both processors fall asleep in
turns. To be woken up takes longer than most answers, 20 to 60 us in a virtual machine, and finds cold caches. So where the
last requests came at once, the next one is looked for: a mount then answers 1.5 to 2.5 times as many small calls a second.

It costs processor time only where it pays: one look in vain ends it until several waits in a row were short again. And it costs
nobody else his turn: it is for who alone is served at the moment, and while no worker thread runs, which whoever looks would keep
from the interpreter's lock for up to 5 ms (he gives it up for a microsecond at a time).
"""

import select
from time import perf_counter
from typing import ClassVar

import trio

MOMENT_SECONDS = 100e-6
"""For how long to look; nobody else in this process is served meanwhile."""

SHORT_SECONDS = 200e-6
"""A sleep, with falling asleep and being woken up, that a look of MOMENT_SECONDS would have made needless."""

SHORT_SLEEPS = 4
"""So many in a row before it is tried (again)."""


class BusyPolling:
    """Of one descriptor, for whoever reads from it; synchronous.

    After `comes_at_once` has said no, the caller sleeps, between `sleeps` and `woke`.
    """

    _served_last: ClassVar["BusyPolling | None"] = None
    """Whose peer was, in this process."""

    def __init__(self, descriptor: int) -> None:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        self._poll = poll.poll
        self._short_sleeps = 0
        self._asleep_since = 0.0

    def is_ready(self) -> bool:
        """Whether there is something to read, or an error or the end to be met. About 1 us."""
        if not self._poll(0):
            return False
        self.serves()
        return True

    def serves(self) -> None:
        """The caller has found something to read. Who finds that another did meanwhile leaves him the time."""
        if BusyPolling._served_last is not self:
            BusyPolling._served_last = self
            self._short_sleeps = 0

    def comes_at_once(self) -> bool:
        """Whether there is, now or within the moment that it is worth to look for. Not for who keeps tasks of his waiting."""
        if BusyPolling._served_last is not self or self._short_sleeps < SHORT_SLEEPS:
            return False
        if trio.to_thread.current_default_thread_limiter().borrowed_tokens:
            return False
        until = perf_counter() + MOMENT_SECONDS
        while perf_counter() < until:
            if self._poll(0):
                return True
        self._short_sleeps = 0
        return False

    def sleeps(self) -> None:
        """The caller, or one of several, is going to sleep until there is something."""
        self._asleep_since = perf_counter()

    def woke(self) -> None:
        """There is something."""
        self.serves()
        is_short = perf_counter() - self._asleep_since < SHORT_SECONDS
        self._short_sleeps = self._short_sleeps + 1 if is_short else 0
