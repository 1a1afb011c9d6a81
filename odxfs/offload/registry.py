"""The table of live tokens: lifetimes, bounds, and the pins they hold.

Pure state. Time comes in as `now`, seconds of a monotonic clock; pins are given back through the `release` callback.
A lifetime is a time of inactivity (T10 ROD tokens; odx.md 6.1): each use starts it anew.
"""

import secrets
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

from sortedcontainers import SortedList

from odxfs.errors import OffloadRefused, Refusal, Stale
from odxfs.offload.settings import TokenLimits
from odxfs.offload.token import TokenContent, TokenId, new_token_id, seal, unseal
from odxfs.types import Buffer, InodeNumber
from odxfs.volume import Pin


@dataclass(slots=True)
class TokenEntry:
    """One live token. `last_used` and `deadline` move with each use; everything else stays what it was."""

    id: TokenId
    pin: Pin
    volume: str
    source: InodeNumber
    offset: int
    length: int
    owner: str
    client: str
    lifetime: float
    created: float
    last_used: float
    deadline: float
    uses: int = 0
    writers: int = 0
    """Writes and reads under way from this token; its pin outlives them even if the token ends."""
    ended: bool = False

    @property
    def label(self) -> str:
        """What people call the token: enough to find it, too little to redeem it."""
        return self.id.hex()[:12]


@dataclass(frozen=True, slots=True)
class TokenInfo:
    """A live token as shown to people; ages in seconds. Holds nothing that would let its reader redeem the token."""

    label: str
    volume: str
    source: int
    offset: int
    length: int
    owner: str
    client: str
    age: float
    remaining: float
    uses: int


class TokenRegistry:
    """Issues, redeems and ends tokens.

    `issuer` is the pool's uuid, `release` takes back the pin of an ended token, `pinned_only_bytes` says how many bytes only
    pins keep alive. The key is random and lives as long as this object, as do its tokens.
    """

    def __init__(
        self,
        issuer: UUID,
        limits: TokenLimits,
        release: Callable[[Pin], None],
        pinned_only_bytes: Callable[[], int],
    ) -> None:
        self.limits = limits
        self._issuer = issuer
        self._release = release
        self._pinned_only_bytes = pinned_only_bytes
        self._key = secrets.token_bytes(32)
        self._entries: OrderedDict[TokenId, TokenEntry] = OrderedDict()
        self._by_volume: defaultdict[str, OrderedDict[TokenId, None]] = defaultdict(OrderedDict)
        self._by_client: defaultdict[str, OrderedDict[TokenId, None]] = defaultdict(OrderedDict)
        self._deadlines: SortedList[tuple[float, TokenId]] = SortedList()
        self.issued = 0
        self.expired = 0
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def issuer(self) -> UUID:
        """The pool whose tokens these are."""
        return self._issuer

    def issue(
        self,
        pin: Pin,
        *,
        volume: str,
        source: InodeNumber,
        offset: int,
        length: int,
        owner: str,
        client: str,
        lifetime_hint: float,
        now: float,
    ) -> bytes:
        """Make the token for `pin`, which the registry owns from here on, and return its 512 bytes.

        `offset` and `length` are bytes of the source; `lifetime_hint` in seconds, 0 for the default. Where a bound is
        reached, the longest idle token of that volume or client ends.
        """
        lifetime = self._lifetime(lifetime_hint)
        entry = TokenEntry(
            new_token_id(),
            pin,
            volume,
            source,
            offset,
            length,
            owner,
            client,
            lifetime,
            now,
            now,
            now + lifetime,
        )
        self._entries[entry.id] = entry
        self._deadlines.add((entry.deadline, entry.id))
        self._by_volume[volume][entry.id] = None
        self._by_client[client][entry.id] = None
        self.issued += 1
        self._hold_bound(self._by_volume[volume], self.limits.tokens_per_volume)
        self._hold_bound(self._by_client[client], self.limits.tokens_per_client)
        return seal(TokenContent(self._issuer, entry.id, length), self._key)

    @contextmanager
    def redeem(self, token: Buffer, now: float) -> Iterator[TokenEntry]:
        """The live entry of a vendor token, its lifetime started anew; its pin is safe inside the `with` block.

        Raises OffloadRefused with the reason.
        """
        entry = self._live_entry(token, now)
        self._renew(entry, now)
        with self._holding(entry):
            yield entry

    @contextmanager
    def hold(self, entry: TokenEntry, now: float) -> Iterator[TokenEntry]:
        """Keep the pin of a live entry safe inside the `with` block; that is no use of the token. Raises Stale."""
        if entry.ended or entry.deadline <= now:
            raise Stale(f"token {entry.label} has ended")
        with self._holding(entry):
            yield entry

    @contextmanager
    def _holding(self, entry: TokenEntry) -> Iterator[None]:
        entry.writers += 1
        try:
            yield
        finally:
            entry.writers -= 1
            if entry.ended and entry.writers == 0:
                self._release(entry.pin)

    def _live_entry(self, token: Buffer, now: float) -> TokenEntry:
        content = unseal(token, self._key)
        entry = self._entries.get(content.id)
        if entry is None:
            raise OffloadRefused(Refusal.EXPIRED_TOKEN)
        if entry.deadline <= now:
            self._end(entry)
            self.expired += 1
            raise OffloadRefused(Refusal.EXPIRED_TOKEN)
        return entry

    def _renew(self, entry: TokenEntry, now: float) -> None:
        self._deadlines.remove((entry.deadline, entry.id))
        entry.last_used, entry.deadline = now, now + entry.lifetime
        entry.uses += 1
        self._deadlines.add((entry.deadline, entry.id))
        for order in (self._entries, self._by_volume[entry.volume], self._by_client[entry.client]):
            order.move_to_end(entry.id)

    def sweep(self, now: float) -> int:
        """End what is past its deadline, then the longest idle while tokens keep too much space; how many ended."""
        before = len(self._entries)
        while self._deadlines and self._deadlines[0][0] <= now:
            self._end(self._entries[self._deadlines[0][1]])
            self.expired += 1
        while self._entries and self._pinned_only_bytes() > self.limits.pinned_only_bytes:
            self._end(next(iter(self._entries.values())))
            self.evicted += 1
        return before - len(self._entries)

    def next_deadline(self) -> float | None:
        """When `sweep` has something to do next, or None while there are no tokens."""
        return self._deadlines[0][0] if self._deadlines else None

    def clear(self) -> None:
        """End every token: the pool is closing."""
        for entry in list(self._entries.values()):
            self._end(entry)

    def entries(self) -> Collection[TokenEntry]:
        """The live tokens themselves, the longest idle first; valid until the next change."""
        return self._entries.values()

    def list(self, now: float) -> list[TokenInfo]:
        """The live tokens, the longest idle first."""
        return [
            TokenInfo(
                entry.label,
                entry.volume,
                entry.source,
                entry.offset,
                entry.length,
                entry.owner,
                entry.client,
                now - entry.created,
                max(0.0, entry.deadline - now),
                entry.uses,
            )
            for entry in self._entries.values()
        ]

    def _lifetime(self, hint: float) -> float:
        if hint <= 0:
            return self.limits.default_lifetime
        return min(max(hint, self.limits.shortest_lifetime), self.limits.longest_lifetime)

    def _hold_bound(self, order: OrderedDict[TokenId, None], bound: int) -> None:
        while len(order) > bound:
            self._end(self._entries[next(iter(order))])
            self.evicted += 1

    def _end(self, entry: TokenEntry) -> None:
        del self._entries[entry.id]
        self._deadlines.remove((entry.deadline, entry.id))
        for index, name in ((self._by_volume, entry.volume), (self._by_client, entry.client)):
            del index[name][entry.id]
            if not index[name]:
                del index[name]
        entry.ended = True
        if entry.writers == 0:
            self._release(entry.pin)
