"""The window on a peer: bounded, in order, and as wide as the network is quick."""

import trio
import trio.testing

from odxfs.peers.window import (
    FIRST_WINDOW_BYTES,
    LARGEST_PIECE_BYTES,
    LARGEST_WINDOW_BYTES,
    SMALLEST_PIECE_BYTES,
    SMALLEST_WINDOW_BYTES,
    Window,
)

HALF = FIRST_WINDOW_BYTES // 2


async def test_who_comes_first_is_served_first_and_the_limit_holds() -> None:
    window, order = Window(), list[int]()

    async def take(number: int, length: int) -> None:
        await window.take(length)
        order.append(number)
        assert window.used <= window.limit

    async with trio.open_nursery() as nursery:
        assert window.try_take(HALF)
        for number, length in enumerate([FIRST_WINDOW_BYTES, HALF, 1]):
            nursery.start_soon(take, number, length)
            await trio.testing.wait_all_tasks_blocked()
        assert not window.try_take(1)  # nobody overtakes
        assert order == []
        window.give(HALF)
        await trio.testing.wait_all_tasks_blocked()
        assert order == [0]
        window.give(FIRST_WINDOW_BYTES)
        await trio.testing.wait_all_tasks_blocked()
        assert sorted(order) == [0, 1, 2]
        window.give(HALF + 1)
    assert window.used == 0


async def test_who_gives_up_waiting_holds_up_nobody() -> None:
    window, scope = Window(), trio.CancelScope()
    assert window.try_take(HALF)

    async def give_up() -> None:
        with scope:
            await window.take(FIRST_WINDOW_BYTES)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(give_up)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(window.take, HALF)
        await trio.testing.wait_all_tasks_blocked()
        assert window.used == HALF
        scope.cancel()
    assert window.used == FIRST_WINDOW_BYTES


async def test_who_is_cancelled_at_his_turn_gives_it_back() -> None:
    window, scope = Window(), trio.CancelScope()
    assert window.try_take(FIRST_WINDOW_BYTES)
    async with trio.open_nursery() as nursery:

        async def take() -> None:
            with scope:
                await window.take(HALF)

        nursery.start_soon(take)
        await trio.testing.wait_all_tasks_blocked()
        scope.cancel()
        window.give(FIRST_WINDOW_BYTES)
    assert window.used == 0


def test_it_follows_the_network() -> None:
    window = Window()
    for now in range(100):
        window.arrived(LARGEST_PIECE_BYTES, now, now + 0.01)
    assert (window.limit, window.piece_bytes) == (LARGEST_WINDOW_BYTES, LARGEST_PIECE_BYTES)
    window.arrived(LARGEST_PIECE_BYTES, 100, 100.5)
    assert window.limit == LARGEST_WINDOW_BYTES
    for _ in range(20):
        window.arrived(LARGEST_PIECE_BYTES, 100, 102)
    assert window.limit == LARGEST_WINDOW_BYTES // 2  # they were late together
    for now in range(103, 150):
        window.arrived(LARGEST_PIECE_BYTES, now, now + 2)
    assert (window.limit, window.piece_bytes) == (SMALLEST_WINDOW_BYTES, SMALLEST_PIECE_BYTES)


async def test_a_piece_larger_than_the_window_goes_alone() -> None:
    window = Window()
    await window.take(2 * LARGEST_WINDOW_BYTES)
    assert not window.try_take(1)
    window.give(2 * LARGEST_WINDOW_BYTES)
    assert window.try_take(1)
