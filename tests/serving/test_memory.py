"""What a burst leaves free goes back to the system."""

import subprocess
import sys

import pytest
import trio

from odxfs.serving.memory import GIVE_BACK_SECONDS, give_back_free_memory

_BURST = """
import trio
from trio.testing import MockClock
from odxfs.serving import memory

MIB = 1024 * 1024

def resident():
    fields = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return int(fields["VmRSS"].split()[0]) * 1024

async def main():
    large, small = [], []
    for _ in range(1000):  # below what malloc(3) maps by itself; the small ones lie between them and stay
        large.append(b"x" * 100_000)
        small.append(b"x" * (1_000 + len(small)))
    full = resident()
    large.clear()
    kept = resident()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(memory.give_back_free_memory)
        await trio.sleep(memory.GIVE_BACK_SECONDS + 1)
        nursery.cancel_scope.cancel()
    print((full - kept) // MIB, (full - resident()) // MIB, len(small))

trio.run(main, clock=MockClock(autojump_threshold=0.01))
"""


def test_free_pages_between_what_is_used_go_back() -> None:
    """In a process of its own: what other tests have left on the heap is not to matter."""
    done = subprocess.run([sys.executable, "-c", _BURST], capture_output=True, text=True, check=True)
    at_once, in_time, _ = map(int, done.stdout.split())
    assert at_once < 20  # else there is nothing to see
    assert in_time > 70


@pytest.mark.mock_clock
async def test_a_library_without_the_call_is_left_to_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("odxfs.serving.memory._libc", object())
    with trio.move_on_after(3 * GIVE_BACK_SECONDS) as scope:
        await give_back_free_memory()
    assert scope.cancelled_caught
