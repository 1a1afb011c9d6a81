"""Callers that were told to walk a path again (ESTALE), and what they have come to since.

The kernel walks a second time without its cache, asking us for every name, and never a third time: a second ESTALE would reach
the program. So what that walk has come to is not refused again. When a name has gone since it was asked for, that was after the
program's call.
"""

from dataclasses import dataclass, field

from odxfs.types import InodeNumber

MOST_CALLERS = 256
"""Callers that are remembered; the oldest is forgotten first."""

SECONDS = 1.0
"""For how long a name that was asked for is believed. No longer than FOLLOWING_SECONDS: by then a client that has taken it away
since may have been answered."""


@dataclass(slots=True)
class _Walk:
    """Which inodes it has come to, and when, the latest last; `is_over`: it has come to a name that is not there."""

    came_to: dict[InodeNumber, float] = field(default_factory=dict)
    is_over: bool = False


class SecondWalks:
    """By caller, a thread. One of another PID namespace has the number 0, as have all such: nothing is remembered of them.

    `now` is a time in seconds that never goes back.
    """

    def __init__(self) -> None:
        self._walks: dict[int, _Walk] = {}

    def begins(self, caller: int) -> None:
        """`caller` is being told to walk a path again."""
        self._walks.pop(caller, None)
        if caller != 0:
            self._walks[caller] = _Walk()
        if len(self._walks) > MOST_CALLERS:
            del self._walks[next(iter(self._walks))]

    def came_to(self, number: InodeNumber, caller: int, now: float) -> None:
        """The kernel has looked up a name for `caller`."""
        walk = self._walks.get(caller)
        if walk is None or walk.is_over:
            return
        walk.came_to.pop(number, None)
        walk.came_to[number] = now
        while now - walk.came_to[oldest := next(iter(walk.came_to))] >= SECONDS:
            del walk.came_to[oldest]

    def has_come_to(self, number: InodeNumber, caller: int, now: float) -> bool:
        """Whether the second walk of `caller` asked for the inode's name a moment ago."""
        walk = self._walks.get(caller)
        came = None if walk is None else walk.came_to.get(number)
        return came is not None and now - came < SECONDS

    def failed(self, caller: int) -> None:
        """`caller` has come to a name that is not there; who wants to make it asks for what stands above it once more."""
        walk = self._walks.get(caller)
        if walk is not None:
            walk.is_over = True

    def ended(self, caller: int) -> None:
        """`caller` has got what it walked for."""
        self._walks.pop(caller, None)
