"""How many bytes may be under way from one peer, in which pieces: as many as arrive soon.

A call must not take longer than four seconds, so whatever is asked of a peer should arrive within one. What arrives soon widens
the window by its own length, so that it doubles in each round trip; what arrives late halves it. Waiting is in order, but the
first, small piece of a call never waits: so on any network each of many calls comes some way, and none is refused for nothing.
"""

from collections import deque

import trio

SMALLEST_PIECE_BYTES = 64 * 1024
LARGEST_PIECE_BYTES = 1024 * 1024
"""One read. Larger ones are not faster, and hold more memory for longer."""

SMALLEST_WINDOW_BYTES = 256 * 1024
FIRST_WINDOW_BYTES = 2 * 1024 * 1024
LARGEST_WINDOW_BYTES = 32 * 1024 * 1024
"""What calls hold in memory of one peer's bytes, all together."""

SOON_SECONDS = 0.3
LATE_SECONDS = 1.0


class Window:
    """Bytes asked of a peer and not yet written; `take` waits its turn."""

    def __init__(self) -> None:
        self.limit = FIRST_WINDOW_BYTES
        self.used = 0
        self._waiting: deque[tuple[int, trio.Event]] = deque()
        self._narrowed_at = -float("inf")

    @property
    def piece_bytes(self) -> int:
        """How much to ask for at a time: a sixteenth of the window."""
        step = SMALLEST_PIECE_BYTES
        return max(step, min(LARGEST_PIECE_BYTES, self.limit // 16 // step * step))

    def claim(self, length: int) -> None:
        """Take `length` bytes at once, over the limit where need be: a call's first piece."""
        self.used += length

    def try_take(self, length: int) -> bool:
        """Take `length` bytes of the window if nobody waits for them."""
        if self._waiting or not self._fits(length):
            return False
        self.used += length
        return True

    async def take(self, length: int) -> None:
        """Take `length` bytes of the window as soon as it is this caller's turn."""
        if self.try_take(length):
            return
        turn = (length, trio.Event())
        self._waiting.append(turn)
        try:
            await turn[1].wait()
        except trio.Cancelled:
            if turn[1].is_set():
                self.give(length)
            else:
                self._waiting.remove(turn)
                self._admit()
            raise

    def give(self, length: int) -> None:
        """Give back what was taken."""
        self.used -= length
        self._admit()

    def arrived(self, length: int, asked: float, now: float) -> None:
        """A piece that was asked for at `asked` is there: adapt. Pieces that were under way with a late one are late with it."""
        if now - asked < SOON_SECONDS:
            self.limit = min(LARGEST_WINDOW_BYTES, self.limit + length)
            self._admit()
        elif now - asked > LATE_SECONDS and asked >= self._narrowed_at:
            self.limit, self._narrowed_at = max(SMALLEST_WINDOW_BYTES, self.limit // 2), now

    def _fits(self, length: int) -> bool:
        return not self.used or self.used + length <= self.limit

    def _admit(self) -> None:
        while self._waiting and self._fits(self._waiting[0][0]):
            length, turn = self._waiting.popleft()
            self.used += length
            turn.set()
