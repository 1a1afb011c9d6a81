"""Lifetimes and bounds of tokens, on a clock that the test moves."""

from collections.abc import Mapping
from dataclasses import replace
from uuid import UUID

import pytest

from odxfs.errors import OffloadRefused, Refusal, Stale
from odxfs.offload import OffloadPolicy, TokenLimits, TokenOrigin, TokenRegistry
from odxfs.offload.entries import MOST_REMEMBERED
from odxfs.types import InodeNumber
from odxfs.volume import Pin
from odxfs.volume.extents import LeafReference

LIMITS = TokenLimits(tokens_per_volume=4, tokens_per_svm=100, tokens_per_client=3, pinned_only_bytes=1000)
ORIGIN = TokenOrigin("main", InodeNumber(5), 0, 4096, 4096, "alice", "a", "default")
KEY = b"k" * 32
BLOCK = 4096


class Store:
    """What a registry sees of the pool: pins given back, and how much only pins hold."""

    def __init__(self, limits: TokenLimits = LIMITS, key: bytes | None = None) -> None:
        self.released: list[int] = []
        self.pinned_only = 0
        self.alone: dict[int, Mapping[int, int]] = {}
        """By pin, the leaves that no file holds."""
        self.registry = TokenRegistry(
            UUID(int=1),
            limits,
            self._release,
            lambda: self.pinned_only,
            lambda pin: self.alone.get(pin.id, {}),
            key,
        )

    def _release(self, pin: Pin) -> None:
        self.released.append(pin.id)

    def issue(
        self,
        pin_id: int,
        now: float,
        *,
        client: str = "a",
        volume: str = "main",
        svm: str = "default",
        hint: float = 0,
        policy: str = "pin",
        limits: TokenLimits | None = None,
    ) -> bytes:
        """A token whose pin has one leaf of one block."""
        pin = Pin(pin_id, 0, BLOCK, (LeafReference(pin_id << 12 | 1),), is_hole=False)
        return self.registry.issue(
            pin,
            replace(ORIGIN, client=client, volume=volume, svm=svm),
            lifetime_hint=hint,
            now=now,
            policy=OffloadPolicy.parse(policy),
            limits=limits,
        )

    def redeem(self, token: bytes, now: float) -> int:
        with self.registry.redeem(token, now) as entry:
            return entry.pin.id

    def refusal(self, token: bytes, now: float) -> Refusal:
        with pytest.raises(OffloadRefused) as refused:
            self.redeem(token, now)
        return refused.value.reason


def test_a_token_is_reusable_and_each_use_starts_its_lifetime_anew() -> None:
    store = Store()
    token = store.issue(1, 0)
    for now in (50, 100, 150):
        assert store.redeem(token, now) == 1
        store.registry.sweep(now)
    assert store.refusal(token, 150 + 60) is Refusal.EXPIRED_TOKEN
    assert store.released == [1]


def test_an_idle_token_is_swept_at_its_deadline_and_not_before() -> None:
    store = Store()
    token = store.issue(1, 0)
    assert store.registry.next_deadline() == 60
    assert store.registry.sweep(59.9) == 0
    assert store.registry.sweep(60) == 1
    assert store.released == [1]
    assert store.refusal(token, 60) is Refusal.EXPIRED_TOKEN
    assert store.registry.next_deadline() is None


def test_a_long_use_keeps_a_token_alive_and_its_lifetime_starts_at_the_end() -> None:
    store = Store()
    token = store.issue(1, 0)
    with store.registry.redeem(token, 50) as entry:
        assert store.registry.sweep(120) == 0
        assert store.registry.sweep(500) == 0
        store.registry.renew(entry, 510)
    assert store.redeem(token, 569) == 1
    assert store.refusal(token, 569 + 60) is Refusal.EXPIRED_TOKEN


@pytest.mark.parametrize(("hint", "lifetime"), [(0, 60), (0.001, 5), (30, 30), (4_000_000, 600)])
def test_the_clients_wish_for_a_lifetime_is_a_hint_within_bounds(hint: float, lifetime: float) -> None:
    store = Store()
    store.issue(1, 0, hint=hint)
    assert store.registry.next_deadline() == lifetime


def test_the_lifetimes_are_those_of_the_svm() -> None:
    store = Store()
    store.issue(1, 0, limits=replace(LIMITS, default_lifetime=7))
    assert store.registry.next_deadline() == 7


def test_a_policy_ends_a_token_early_however_often_it_is_used() -> None:
    store = Store()
    token = store.issue(1, 0, policy="expire:10")
    for now in range(10):
        assert store.redeem(token, now) == 1
    assert store.refusal(token, 10) is Refusal.EXPIRED_TOKEN
    token = store.issue(2, 20, policy="expire:10")
    with store.registry.redeem(token, 29):
        assert store.registry.sweep(30) == 1
        assert store.released == [1]
    assert store.released == [1, 2]


def test_two_reads_of_one_range_give_two_tokens() -> None:
    store = Store()
    assert store.issue(1, 0) != store.issue(2, 0)


def test_past_a_clients_bound_its_longest_idle_token_goes() -> None:
    store = Store()
    tokens = [store.issue(number, number, client="greedy") for number in range(3)]
    other = store.issue(10, 3, client="other")
    store.redeem(tokens[0], 4)
    store.issue(4, 5, client="greedy")
    assert store.released == [1]
    assert store.redeem(other, 6) == 10
    assert store.refusal(tokens[1], 6) is Refusal.EVICTED_TOKEN


def test_past_a_volumes_bound_its_longest_idle_token_goes() -> None:
    store = Store()
    for number in range(5):
        store.issue(number, number, client=f"client-{number}")
    assert store.released == [0]
    store.issue(9, 9, volume="another", client="x")
    assert store.released == [0]


def test_past_an_svms_bound_its_longest_idle_token_goes() -> None:
    store, limits = Store(), replace(LIMITS, tokens_per_svm=2)
    for number in range(3):
        store.issue(number, number, client=f"{number}", volume=f"{number}", svm="small", limits=limits)
    store.issue(9, 9, client="9", volume="9", svm="large")
    assert store.released == [0]


def test_a_token_in_use_is_not_the_one_that_goes() -> None:
    store = Store()
    tokens = [store.issue(number, number) for number in range(3)]
    with store.registry.redeem(tokens[0], 3):
        store.redeem(tokens[1], 4)
        store.redeem(tokens[2], 5)
        store.issue(4, 6)
        assert store.released == [1]
    assert store.redeem(tokens[0], 7) == 0


def test_what_an_svm_decides_ends_no_token_of_another() -> None:
    store = Store()
    tokens = [store.issue(number, number, svm="large", client="both") for number in range(3)]
    narrow = replace(LIMITS, tokens_per_volume=1, tokens_per_client=1, tokens_per_svm=1)
    store.issue(10, 5, svm="small", client="both", limits=narrow)
    store.issue(11, 6, svm="small", client="both", limits=narrow)
    assert store.released == [10]
    assert [store.redeem(token, 7) for token in tokens] == [0, 1, 2]


def test_where_all_tokens_are_in_use_the_bound_counts_and_no_pin_is_torn_away() -> None:
    store = Store(replace(LIMITS, tokens_per_client=1))
    token = store.issue(1, 0)
    with store.registry.redeem(token, 1):
        second = store.issue(2, 2)
        with store.registry.redeem(second, 3):
            store.issue(3, 4)
            assert len(store.registry) == 1
            assert 1 not in store.released
    assert 1 in store.released


@pytest.mark.parametrize("scope", ["volume", "svm", "client"])
def test_tokens_that_keep_too_much_space_go_oldest_first(scope: str) -> None:
    """Three tokens keep a block each, one keeps nothing alone, one is another scope's."""
    store = Store()
    limits = replace(LIMITS, tokens_per_client=9, tokens_per_volume=9, **{f"pinned_bytes_per_{scope}": BLOCK})
    store.registry.limits = replace(limits, pinned_only_bytes=1 << 40)
    shared = store.issue(9, 0, limits=limits)
    tokens = [store.issue(number, number, limits=limits) for number in range(1, 4)]
    other = {scope: "other"}
    apart = store.issue(8, 4, limits=limits, **other)  # type: ignore[arg-type]
    store.alone = {number: {number: BLOCK} for number in (1, 2, 3, 8)}
    assert store.registry.sweep(5) == 0, "the pool has no bytes that only pins hold"
    store.pinned_only = 4 * BLOCK
    assert store.registry.sweep(5) == 2
    assert store.released == [1, 2]
    assert store.refusal(tokens[0], 5) is Refusal.EVICTED_TOKEN
    for token in (shared, tokens[2], apart):
        store.redeem(token, 6)


def test_space_that_two_tokens_keep_counts_once_and_is_free_after_both() -> None:
    store = Store(replace(LIMITS, pinned_only_bytes=BLOCK))
    for number in range(1, 4):
        store.issue(number, number)
    store.alone = {1: {7: BLOCK}, 2: {7: BLOCK}, 3: {8: BLOCK}}
    store.pinned_only = 2 * BLOCK
    assert store.registry.sweep(10) == 2
    assert store.released == [1, 2]


def test_a_token_that_is_cancelled_while_it_is_written_keeps_its_pin_until_the_write_is_done() -> None:
    store = Store()
    token, other = store.issue(1, 0), store.issue(2, 0)
    with store.registry.redeem(token, 1) as entry:
        assert store.registry.cancel(lambda each: each.label == entry.label) == 1
        store.registry.renew(entry, 2)
        assert store.released == []
    assert store.released == [1]
    assert store.refusal(token, 2) is Refusal.CANCELLED_TOKEN
    assert store.redeem(other, 2) == 2


def test_a_token_of_another_registry_is_not_redeemed() -> None:
    assert Store().refusal(Store().issue(1, 0), 0) is Refusal.FORGED_TOKEN


def test_a_token_of_an_earlier_life_is_told_from_a_forged_one() -> None:
    token = Store(key=KEY).issue(1, 0)
    assert Store(key=KEY).refusal(token, 0) is Refusal.EARLIER_LIFE


def test_of_ended_tokens_only_so_many_reasons_are_remembered() -> None:
    store = Store()
    first = store.issue(1, 0)
    for number in range(MOST_REMEMBERED + LIMITS.tokens_per_client):
        store.issue(number, number / 1e6)
    assert store.refusal(first, 1) is Refusal.FORGOTTEN_TOKEN
    assert len(store.registry.ended) == MOST_REMEMBERED
    assert len(store.registry) == LIMITS.tokens_per_client


def test_who_only_looks_at_a_token_does_not_use_it() -> None:
    store = Store()
    store.issue(1, 0)
    (entry,) = store.registry.entries()
    with store.registry.hold(entry, 59):
        pass
    with pytest.raises(Stale), store.registry.hold(entry, 60):
        pass


def test_clearing_gives_every_pin_back_once() -> None:
    store = Store()
    for number in range(3):
        store.issue(number, 0)
    store.registry.clear()
    assert sorted(store.released) == [0, 1, 2]
    assert len(store.registry) == 0


def test_what_people_are_shown_does_not_let_them_redeem() -> None:
    store = Store()
    token = store.issue(1, 0)
    info = store.registry.list(10)[0]
    assert (info.age, info.remaining, info.owner) == (10, 50, "alice")
    assert bytes.fromhex(info.label) not in token[:32] + token[-32:]
    assert len(info.label) < 16
