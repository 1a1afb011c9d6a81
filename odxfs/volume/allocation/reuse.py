"""When a freed block may be handed out again: after the commit that freed it, and after every read that may want it.

One that no commit has named yet needs no commit either (`Space`).
"""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from odxfs.volume.allocation.space import Space
from odxfs.volume.leaf import Run


class InFlightReads:
    """Counts reads in worker threads by epoch; an epoch ends with each durable commit.

    A read that began after a block was freed cannot name it, so what a commit frees waits for the reads of its epoch and
    of those before.
    """

    def __init__(self, space: Space) -> None:
        self._space = space
        self._epoch = 0
        self._running: dict[int, int] = {}
        self._waiting: deque[tuple[int, list[Run]]] = deque()

    @contextmanager
    def read(self) -> Iterator[None]:
        """Around one read, entered on the trio thread before anything else can change."""
        epoch = self._epoch
        self._running[epoch] = self._running.get(epoch, 0) + 1
        self._space.running_reads += 1
        try:
            yield
        finally:
            self._space.running_reads -= 1
            self._running[epoch] -= 1
            if not self._running[epoch]:
                del self._running[epoch]
                self._reuse()

    def committed(self, freed: list[Run]) -> None:
        """A commit that frees these blocks is durable: hand them out again as soon as the reads of now have ended."""
        self._waiting.append((self._epoch, freed))
        self._epoch += 1
        self._reuse()

    def _reuse(self) -> None:
        oldest = min(self._running, default=self._epoch)
        while self._waiting and self._waiting[0][0] < oldest:
            self._space.reuse(self._waiting.popleft()[1])
