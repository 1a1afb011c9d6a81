"""A short memory of what was wrong with a peer, so that not every call finds it out anew."""

from collections.abc import Callable

from odxfs.errors import OffloadRefused, Refusal

REMEMBERED_SECONDS = 3.0
"""Long enough that the calls of one copy do not queue up for a peer that is away, short enough that nobody waits for it."""


class Trouble:
    """The last failure to reach a peer; `clock` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._reason: Refusal | None = None
        self._until = 0.0

    def met(self, reason: Refusal) -> None:
        """The peer could not be reached, or did not let us in, at this moment."""
        self._reason, self._until = reason, self._clock() + REMEMBERED_SECONDS

    def over(self) -> None:
        """The peer was reached."""
        self._reason = None

    @property
    def label(self) -> str:
        """The label of a failure that is fresh, else empty."""
        fresh = self._reason is not None and self._clock() < self._until
        return self._reason.label if fresh and self._reason is not None else ""

    def check(self) -> None:
        """Raise OffloadRefused while the failure is fresh."""
        if self._reason is not None and self._clock() < self._until:
            raise OffloadRefused(self._reason)
