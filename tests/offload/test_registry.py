"""Lifetimes and bounds of tokens, on a clock that the test moves."""

from uuid import UUID

import pytest

from odxfs.errors import OffloadRefused, Refusal
from odxfs.offload.registry import TokenLimits, TokenRegistry
from odxfs.types import InodeNumber
from odxfs.volume import Pin

LIMITS = TokenLimits(tokens_per_volume=4, tokens_per_client=3, pinned_only_bytes=1000)


class Store:
    """What a registry sees of the pool: pins given back, and how much only pins hold."""

    def __init__(self, limits: TokenLimits = LIMITS) -> None:
        self.released: list[int] = []
        self.pinned_only = 0
        self.registry = TokenRegistry(UUID(int=1), limits, self._release, lambda: self.pinned_only)

    def _release(self, pin: Pin) -> None:
        self.released.append(pin.id)

    def issue(
        self, pin_id: int, now: float, *, client: str = "a", volume: str = "main", hint: float = 0
    ) -> bytes:
        pin = Pin(pin_id, 0, 4096, (), is_hole=False)
        return self.registry.issue(
            pin,
            volume=volume,
            source=InodeNumber(5),
            offset=0,
            length=4096,
            owner="alice",
            client=client,
            lifetime_hint=hint,
            now=now,
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


@pytest.mark.parametrize(("hint", "lifetime"), [(0, 60), (0.001, 5), (30, 30), (4_000_000, 600)])
def test_the_clients_wish_for_a_lifetime_is_a_hint_within_bounds(hint: float, lifetime: float) -> None:
    store = Store()
    store.issue(1, 0, hint=hint)
    assert store.registry.next_deadline() == lifetime


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


def test_past_a_volumes_bound_its_longest_idle_token_goes() -> None:
    store = Store()
    for number in range(5):
        store.issue(number, number, client=f"client-{number}")
    assert store.released == [0]
    store.issue(9, 9, volume="another", client="x")
    assert store.released == [0]


def test_tokens_that_keep_too_much_space_go_oldest_first() -> None:
    store = Store()
    for number in range(3):
        store.issue(number, number)
    store.pinned_only = 1001
    sizes = iter([1001, 900])
    store.registry._pinned_only_bytes = lambda: next(sizes)
    assert store.registry.sweep(10) == 1
    assert store.released == [0]


def test_a_token_that_ends_while_it_is_written_keeps_its_pin_until_the_write_is_done() -> None:
    store = Store()
    token = store.issue(1, 0)
    with store.registry.redeem(token, 1):
        store.registry.sweep(1000)
        assert store.released == []
    assert store.released == [1]


def test_a_token_of_another_registry_is_not_redeemed() -> None:
    assert Store().refusal(Store().issue(1, 0), 0) is Refusal.FORGED_TOKEN


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
