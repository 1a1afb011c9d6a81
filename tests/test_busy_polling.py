"""A reader looks for what comes at once, and sleeps where looking has not paid."""

import os
import threading
from collections.abc import Iterator

import pytest
import trio

from odxfs import busy_polling
from odxfs.busy_polling import MOMENT_SECONDS, SHORT_SECONDS, SHORT_SLEEPS, BusyPolling

TICK_SECONDS = MOMENT_SECONDS / 10


class Clock:
    """Each look at it takes a tick; at `arrival` of them from now on the peer writes."""

    def __init__(self, writer: int) -> None:
        self.seconds = 0.0
        self.arrival = 0
        self._writer = writer

    def read(self) -> float:
        self.seconds += TICK_SECONDS
        self.arrival -= 1
        if self.arrival == 0:
            os.write(self._writer, b"request")
        return self.seconds


class Reader:
    """A reader of a pipe, and the pipe's other end."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.descriptor, self.writer = os.pipe()
        self.clock = Clock(self.writer)
        monkeypatch.setattr(busy_polling, "perf_counter", self.clock.read)
        self.polling = BusyPolling(self.descriptor)

    def sleep(self, seconds: float) -> None:
        self.polling.sleeps()
        self.clock.seconds += seconds
        self.polling.woke()

    def sleep_shortly(self, times: int) -> None:
        for _ in range(times):
            self.sleep(SHORT_SECONDS / 4)

    def close(self) -> None:
        os.close(self.descriptor)
        os.close(self.writer)


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Iterator[Reader]:
    made = Reader(monkeypatch)
    yield made
    made.close()


async def test_nobody_looks_before_waits_were_short(reader: Reader) -> None:
    reader.sleep_shortly(SHORT_SLEEPS - 1)
    before = reader.clock.seconds
    assert not reader.polling.comes_at_once()
    assert reader.clock.seconds == before


async def test_what_comes_within_the_moment_is_found_without_sleeping(reader: Reader) -> None:
    reader.sleep_shortly(SHORT_SLEEPS)
    reader.clock.arrival = 5
    assert reader.polling.comes_at_once()
    assert reader.polling.is_ready()
    assert os.read(reader.descriptor, 100) == b"request"
    assert not reader.polling.is_ready()
    reader.clock.arrival = 5
    assert reader.polling.comes_at_once()  # it paid, so it is done again


async def test_a_look_in_vain_ends_it_until_waits_are_short_again(reader: Reader) -> None:
    reader.sleep_shortly(SHORT_SLEEPS)
    assert not reader.polling.comes_at_once()
    looked_until = reader.clock.seconds
    assert not reader.polling.comes_at_once()
    assert reader.clock.seconds == looked_until
    reader.sleep_shortly(SHORT_SLEEPS)
    reader.clock.arrival = 5
    assert reader.polling.comes_at_once()


async def test_a_long_wait_among_short_ones_starts_the_count_anew(reader: Reader) -> None:
    reader.sleep_shortly(SHORT_SLEEPS - 1)
    reader.sleep(SHORT_SECONDS * 2)
    reader.sleep_shortly(SHORT_SLEEPS - 1)
    reader.clock.arrival = 5
    assert not reader.polling.comes_at_once()


async def test_two_who_are_served_in_turns_leave_each_other_the_time(reader: Reader) -> None:
    other = BusyPolling(reader.descriptor)
    reader.sleep_shortly(SHORT_SLEEPS)
    other.sleeps()
    other.woke()
    before = reader.clock.seconds
    assert not reader.polling.comes_at_once()
    assert reader.clock.seconds == before
    reader.sleep_shortly(SHORT_SLEEPS)
    reader.clock.arrival = 5
    assert reader.polling.comes_at_once()  # alone again


async def test_nobody_looks_while_a_worker_thread_wants_to_run(reader: Reader) -> None:
    begun, may_end = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        assert may_end.wait(60)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.to_thread.run_sync, work)
        while not begun.is_set():
            await trio.sleep(0.001)
        reader.sleep_shortly(SHORT_SLEEPS)
        before = reader.clock.seconds
        assert not reader.polling.comes_at_once()
        assert reader.clock.seconds == before
        may_end.set()
    reader.clock.arrival = 5
    assert reader.polling.comes_at_once()


async def test_the_end_of_the_peer_is_something_to_be_met(reader: Reader) -> None:
    reader.sleep_shortly(SHORT_SLEEPS)
    os.close(reader.writer)
    assert reader.polling.comes_at_once()
    assert os.read(reader.descriptor, 1) == b""
    reader.writer = os.dup(reader.descriptor)  # for the end of the test
