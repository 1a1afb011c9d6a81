"""Buffers for what is about to come: whoever has one has it alone, and what is let go is used again."""

import threading
from pathlib import Path

import pytest

from odxfs.buffers import give_back_large, uninitialised

KIBIBYTE = 1024
LENGTHS = (128 * KIBIBYTE, 256 * KIBIBYTE, 1024 * KIBIBYTE + 2200, 8192 * KIBIBYTE)


def resident_kib() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1])


@pytest.mark.parametrize("length", [0, 1, 4096, *LENGTHS, 10_000_000])
def test_a_buffer_has_the_length_that_was_asked_for(length: int) -> None:
    buffer = uninitialised(length)
    buffer[:] = bytes(length)
    assert (len(buffer), buffer.readonly) == (length, False)


@pytest.mark.parametrize("length", LENGTHS)
def test_what_is_held_is_nobody_elses_though_a_part_of_it_is_all_that_is_held(length: int) -> None:
    held = []
    for number in range(50):
        buffer = uninitialised(length)
        buffer[-1] = number
        held.append(buffer[-1:])
    assert [part[0] for part in held] == list(range(50))


@pytest.mark.parametrize("length", LENGTHS)
def test_what_is_let_go_is_used_again(length: int) -> None:
    assert len({id(uninitialised(length).obj) for _ in range(100)}) == 1


def test_who_holds_many_keeps_nobody_from_using_theirs_again() -> None:
    held = [uninitialised(1 << 20) for _ in range(100)]
    assert len({id(uninitialised(1 << 20).obj) for _ in range(100)}) == 1
    assert len({id(buffer.obj) for buffer in held}) == 100


def test_threads_never_get_the_same_buffer() -> None:
    shared = []

    def use(mark: int) -> None:
        for _ in range(2000):
            buffer = uninitialised(256 * KIBIBYTE)
            buffer[0] = mark
            buffer[-1] = mark
            if buffer[0] != mark or buffer[-1] != mark:
                shared.append(mark)

    threads = [threading.Thread(target=use, args=(mark,)) for mark in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert shared == []


def test_the_memory_of_what_nobody_uses_goes_back_and_that_of_others_stays() -> None:
    used = uninitialised(1 << 20)
    used[:] = b"u" * len(used)
    many = [uninitialised(8 << 20) for _ in range(4)]
    for buffer in many:
        buffer[:] = bytes(len(buffer))
    del buffer
    full = resident_kib()
    many.clear()
    give_back_large()
    assert full - resident_kib() > 3 * 8 * KIBIBYTE
    assert bytes(used) == b"u" * len(used)
