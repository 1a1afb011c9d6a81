"""The table of live tokens: lifetimes, bounds, and the pins they hold.

Pure state. Time comes in as `now`, seconds of a monotonic clock; pins are given back through the `release` callback.
A lifetime is a time of inactivity (T10 ROD tokens; FreeBSD's ctl_tpc.c): each use starts it anew, when it begins and when it
ends, and a token in use does not expire.
"""

import secrets
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from uuid import UUID

from sortedcontainers import SortedList

from odxfs.errors import OffloadRefused, Refusal, Stale
from odxfs.offload.entries import EndedTokens, TokenEntry, TokenInfo, TokenOrigin
from odxfs.offload.scopes import HeldAlone, Scope, Scopes
from odxfs.offload.token import TokenContent, TokenId, new_life, new_token_id, seal, unseal
from odxfs.offload.token_key import load_token_key
from odxfs.offload_policy import OffloadPolicy, SourceChange
from odxfs.offload_settings import TokenLimits
from odxfs.types import BLOCK_BYTES, Buffer
from odxfs.volume import Inode, Pin, Pool

_PIN = OffloadPolicy()

_GIVEN_BACK_BYTES = 256 * 1024 * 1024
"""What a full disk gets back at a time: enough to go on for a while, and no more tokens end than must."""

_PART_OF_DISK = 4
"""Tokens alone keep at most one part in so many of what could be written to without them."""


def _all_of(pin: Pin) -> Mapping[int, int]:
    """What a pin may hold alone at most, for who cannot tell better."""
    return {pin.id: pin.most_allocated_blocks * BLOCK_BYTES}


class TokenRegistry:
    """Issues, redeems and ends tokens. Bounded in memory: live tokens by `limits`, ended ones by MOST_REMEMBERED.

    `issuer` is the pool's uuid, `release` takes back the pin of an ended token, `pinned_only_bytes` says how many bytes only
    pins keep alive in the whole pool, `held_alone` which leaves of a pin those are, `free_bytes` what may still be written to.
    Without a `key` its tokens are unknown to
    all others; with the pool's, tokens of an earlier registry are told from forged ones.
    """

    def __init__(
        self,
        issuer: UUID,
        limits: TokenLimits,
        release: Callable[[Pin], None],
        pinned_only_bytes: Callable[[], int],
        held_alone: HeldAlone = _all_of,
        key: bytes | None = None,
        free_bytes: Callable[[], int] = lambda: sys.maxsize,
    ) -> None:
        self.limits = limits
        self._issuer = issuer
        self._release = release
        self._pinned_only_bytes = pinned_only_bytes
        self._held_alone = held_alone
        self._free_bytes = free_bytes
        self._key = key or secrets.token_bytes(32)
        self._life = new_life()
        self._all = Scope()
        self._scopes = Scopes()
        self._deadlines: SortedList[tuple[float, TokenId]] = SortedList()
        self.ended = EndedTokens()
        self.issued = 0
        self.expired = 0
        self.evicted = 0
        self.cancelled = 0

    @classmethod
    def of_pool(cls, pool: Pool, limits: TokenLimits) -> "TokenRegistry":
        """The registry of a pool that this process owns, with the pool's own key. Blocking. Raises UserError.

        A pool that finds no room for a write takes it from the tokens.
        """
        registry = cls(
            pool.uuid,
            limits,
            pool.release_pin,
            lambda: pool.statistics().pinned_only_bytes,
            pool.pinned_alone,
            load_token_key(pool.directory),
            lambda: pool.statistics().free_bytes,
        )
        pool.give_space_back = registry.give_space_back
        return registry

    def __len__(self) -> int:
        return len(self._all.entries)

    @property
    def issuer(self) -> UUID:
        """The pool whose tokens these are."""
        return self._issuer

    def issue(
        self,
        pin: Pin,
        origin: TokenOrigin,
        *,
        lifetime_hint: float,
        now: float,
        limits: TokenLimits | None = None,
        policy: OffloadPolicy = _PIN,
        source: Inode | None = None,
    ) -> bytes:
        """Make the token for `pin`, which the registry owns from here on, and return its 512 bytes.

        `lifetime_hint` in seconds, 0 for the default. `limits` are those of the SVM, without which the registry's count.
        `source` is what a policy of invalidation watches. Where a bound is reached, the longest idle token of that volume,
        SVM or client ends.
        """
        limits = limits or self.limits
        lifetime = _lifetime(limits, lifetime_hint)
        dies_at = None if policy.expire_seconds is None else now + policy.expire_seconds
        watched = source if policy.source_change is SourceChange.INVALIDATE else None
        entry = TokenEntry(new_token_id(), pin, origin, lifetime, now, now, now, dies_at, watched)
        entry.renew(now)
        self._all.add(entry)
        self._deadlines.add((entry.deadline, entry.id))
        self.issued += 1
        for scope in self._scopes.add(entry, limits):
            while scope.is_overfull:
                self._evict(scope.longest_idle(entry))
        return seal(TokenContent(self._issuer, entry.id, origin.length, self._life), self._key)

    @contextmanager
    def redeem(self, token: Buffer, now: float) -> Iterator[TokenEntry]:
        """The live entry of a vendor token, its lifetime started anew; its pin is safe inside the `with` block.

        Raises OffloadRefused with the reason.
        """
        entry = self._live_entry(token, now)
        entry.uses += 1
        self.renew(entry, now)
        with self._holding(entry):
            yield entry

    def renew(self, entry: TokenEntry, now: float) -> None:
        """A use of the token goes on, or ends just now. Without effect on a token that has ended."""
        if entry.ended:
            return
        self._deadlines.remove((entry.deadline, entry.id))
        entry.renew(now)
        self._deadlines.add((entry.deadline, entry.id))
        self._all.entries.move_to_end(entry.id)
        self._scopes.used(entry)

    @contextmanager
    def hold(self, entry: TokenEntry, now: float) -> Iterator[TokenEntry]:
        """Keep the pin of a live entry safe inside the `with` block; that is no use of the token. Raises Stale."""
        if entry.ended or entry.is_over(now):
            raise Stale(f"token {entry.label} has ended")
        with self._holding(entry):
            yield entry

    def invalidate(self, entry: TokenEntry) -> None:
        """The token's source has changed, and its share's policy is that this ends it."""
        self._end(entry, Refusal.SOURCE_CHANGED)

    def cancel(self, chosen: Callable[[TokenEntry], bool]) -> int:
        """End the live tokens that are chosen, by an administrator's wish; how many. Writes under way from them go on."""
        ending = [entry for entry in self._all.entries.values() if chosen(entry)]
        for entry in ending:
            self._end(entry, Refusal.CANCELLED_TOKEN)
        self.cancelled += len(ending)
        return len(ending)

    def sweep(self, now: float) -> int:
        """End what is past its deadline, then the longest idle while tokens keep too much space; how many ended."""
        before = len(self)
        while self._deadlines and self._deadlines[0][0] <= now:
            entry = self._all.entries[self._deadlines[0][1]]
            if entry.is_over(now):
                self._expire(entry)
            else:
                self.renew(entry, now)
        if self:
            self._shed_weight()
        return before - len(self)

    def give_space_back(self) -> bool:
        """End the longest idle tokens that keep some bytes from being freed: a full disk needs them. Whether any ended."""
        ending = self._all.holders(_GIVEN_BACK_BYTES, self._held_alone)
        for entry in ending:
            self._evict(entry)
        return bool(ending)

    def next_deadline(self) -> float | None:
        """When `sweep` has something to do next, or None while there are no tokens."""
        return self._deadlines[0][0] if self._deadlines else None

    def clear(self) -> None:
        """End every token: the pool is closing."""
        for entry in list(self._all.entries.values()):
            self._end(entry, Refusal.EARLIER_LIFE)

    def entries(self) -> Collection[TokenEntry]:
        """The live tokens themselves, the longest idle first; valid until the next change."""
        return self._all.entries.values()

    def list(self, now: float) -> list[TokenInfo]:
        """The live tokens, the longest idle first."""
        return [TokenInfo.of(entry, now) for entry in self._all.entries.values()]

    # -- inside -----------------------------------------------------------------------------------------------------

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
        if content.pool != self._issuer:
            raise OffloadRefused(Refusal.UNKNOWN_TOKEN)
        if content.life != self._life:
            raise OffloadRefused(Refusal.EARLIER_LIFE)
        entry = self._all.entries.get(content.id)
        if entry is None:
            raise OffloadRefused(self.ended.reason(content.id))
        if entry.is_over(now):
            self._expire(entry)
            raise OffloadRefused(Refusal.EXPIRED_TOKEN)
        return entry

    def _shed_weight(self) -> None:
        """End the longest idle tokens where they keep more bytes from being freed than they may."""
        pool_bytes = self._pinned_only_bytes()
        part_of_disk = (self._free_bytes() + pool_bytes) // _PART_OF_DISK
        self._all.most_bytes = min(self.limits.pinned_only_bytes, part_of_disk)
        for scope in (self._all, *self._scopes):
            for entry in scope.overweight(pool_bytes, self._held_alone):
                self._evict(entry)

    def _expire(self, entry: TokenEntry) -> None:
        self._end(entry, Refusal.EXPIRED_TOKEN)
        self.expired += 1

    def _evict(self, entry: TokenEntry) -> None:
        self._end(entry, Refusal.EVICTED_TOKEN)
        self.evicted += 1

    def _end(self, entry: TokenEntry, reason: Refusal) -> None:
        self._all.remove(entry)
        self._scopes.remove(entry)
        self._deadlines.remove((entry.deadline, entry.id))
        self.ended.note(entry.id, reason)
        entry.ended = True
        if entry.writers == 0:
            self._release(entry.pin)


def _lifetime(limits: TokenLimits, hint: float) -> float:
    if hint <= 0:
        return limits.default_lifetime
    return min(max(hint, limits.shortest_lifetime), limits.longest_lifetime)
