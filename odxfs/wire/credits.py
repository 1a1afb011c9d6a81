"""Message ids and credits (MS-SMB2 3.2.4.1.5, 3.3.1.1, 3.3.1.2).

A credit is the right to use one message id once. The server grants them, the client spends one for every 64 KiB that a
request carries or asks for.
"""

from collections.abc import Iterable

from odxfs.errors import ProtocolError

MAX_CREDITS = 8192
"""The most credits that a client may hold, the number that Windows and Samba grant: 512 MiB in flight in 64 KiB requests."""

MAX_SPAN = 2 * MAX_CREDITS
"""The most ids between the lowest unused and the highest granted one, so that a client that skips ids costs bounded memory."""

CREDIT_BYTES = 64 * 1024
"""The payload that one credit covers (MS-SMB2 3.1.5.2)."""


def charge_for(payload_bytes: int) -> int:
    """The CreditCharge of a request that carries or asks for `payload_bytes`."""
    return max(1, (payload_bytes - 1) // CREDIT_BYTES + 1)


class SequenceWindow:
    """The server's record of which message ids its client may still use (Connection.CommandSequenceWindow)."""

    __slots__ = ("_high", "_low", "_used")

    def __init__(self) -> None:
        self._low = 0
        self._high = 1
        self._used: set[int] = set()

    @property
    def available(self) -> int:
        """How many ids the client may use."""
        return self._high - self._low - len(self._used)

    def take(self, first: int, count: int) -> None:
        """Use up `count` ids from `first`; ProtocolError when one of them was not granted or was used before."""
        end = first + count
        if first < self._low or end > self._high:
            raise ProtocolError(f"message id {first} is outside the window {self._low}..{self._high - 1}")
        if first == self._low and not self._used:
            self._low = end
            return
        ids = range(first, end)
        if not self._used.isdisjoint(ids):
            raise ProtocolError(f"message id {first} was used before")
        self._used.update(ids)
        while self._low in self._used:
            self._used.remove(self._low)
            self._low += 1

    def grant(self, wanted: int) -> int:
        """Grant as many of `wanted` ids as the bounds allow and return their number; at least one if the client has none."""
        if 0 < wanted <= MAX_CREDITS - (self._high - self._low):  # far from both bounds, as most clients stay
            self._high += wanted
            return wanted
        room = min(MAX_CREDITS - self.available, MAX_SPAN - (self._high - self._low))
        granted = max(0, min(wanted, room))
        if granted == 0 and self.available == 0 and room > 0:
            granted = 1
        self._high += granted
        return granted


class CreditAccount:
    """The client's side: the next message id and how many it may still use."""

    __slots__ = ("available", "next_message_id")

    def __init__(self) -> None:
        self.available = 1
        self.next_message_id = 0

    def spend(self, charges: Iterable[int]) -> list[int]:
        """The message ids of requests with these charges; ProtocolError (and nothing spent) when credits are short."""
        wanted = list(charges)
        if sum(wanted) > self.available:
            raise ProtocolError(f"{sum(wanted)} credits are needed, {self.available} are there")
        ids = []
        for charge in wanted:
            ids.append(self.next_message_id)
            self.next_message_id += charge
            self.available -= charge
        return ids
