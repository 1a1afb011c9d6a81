"""The receive buffer: frames cut out of a stream without copies, and never overwritten while they are held."""

from mmap import PAGESIZE
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from odxfs.errors import ProtocolError
from odxfs.wire.framing import CHUNK_BYTES, LOGIN_FRAME_BYTES, SESSION_FRAME_BYTES, FrameBuffer, frame_prefix


def feed(buffer: FrameBuffer, data: bytes, most: int) -> list[memoryview]:
    """Put `data` in, at most `most` bytes a time, as a socket would."""
    frames: list[memoryview] = []
    view = memoryview(data)
    while view:
        room = buffer.room()
        assert len(room) > 0
        count = min(len(room), len(view), most)
        room[:count] = view[:count]
        del room
        buffer.received(count)
        frames += buffer.frames()
        view = view[count:]
    return frames


@settings(deadline=None)
@given(st.lists(st.integers(1, LOGIN_FRAME_BYTES), max_size=12), st.integers(1, 100_000))
def test_frames_come_out_as_they_went_in_however_the_stream_is_cut(sizes: list[int], most: int) -> None:
    messages = [bytes((number % 251 + 1,)) * size for number, size in enumerate(sizes)]
    stream = b"".join(frame_prefix(len(message)) + message for message in messages)
    frames = feed(FrameBuffer(), stream, max(most, len(stream) // 200 + 1))
    assert [bytes(frame) for frame in frames] == messages


def test_large_messages_that_are_let_go_leave_their_memory_to_later_ones() -> None:
    buffer = FrameBuffer(SESSION_FRAME_BYTES)
    message = frame_prefix(1_000_000) + bytes(1_000_000)
    places = set()
    for _ in range(20):
        (frame,) = feed(buffer, message, 1 << 20)
        places.add(id(frame.obj))
        del frame
    assert len(places) < 10


def test_large_messages_that_are_held_keep_their_memory() -> None:
    buffer = FrameBuffer(SESSION_FRAME_BYTES)
    held = []
    for number in range(1, 20):
        held += feed(buffer, frame_prefix(1_000_000) + bytes((number,)) * 1_000_000, 1 << 20)
    assert [bytes(frame) == bytes((number,)) * 1_000_000 for number, frame in enumerate(held, 1)] == [
        True
    ] * 19


def test_a_message_of_the_greatest_size_arrives_in_place() -> None:
    buffer = FrameBuffer(SESSION_FRAME_BYTES)
    prefix = frame_prefix(SESSION_FRAME_BYTES)
    assert feed(buffer, prefix, 4) == []
    assert len(buffer.room()) >= SESSION_FRAME_BYTES
    (frame,) = feed(buffer, bytes(SESSION_FRAME_BYTES), SESSION_FRAME_BYTES)
    assert len(frame) == SESSION_FRAME_BYTES


def test_a_prefix_alone_costs_no_memory() -> None:
    """What the kernel has given, not what was asked of it: it gives a page when something is written to it."""
    before = resident_bytes()
    buffers = [FrameBuffer(SESSION_FRAME_BYTES) for _ in range(32)]
    for buffer in buffers:
        assert feed(buffer, frame_prefix(SESSION_FRAME_BYTES), 4) == []
    assert resident_bytes() - before < len(buffers) * (SESSION_FRAME_BYTES // 2)


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGESIZE


def test_an_ordinary_buffer_takes_many_small_messages() -> None:
    buffer = FrameBuffer(SESSION_FRAME_BYTES)
    frames = feed(buffer, (frame_prefix(100) + bytes(100)) * 3000, 1 << 20)
    assert len(frames) == 3000
    assert len({id(frame.obj) for frame in frames}) <= 3000 * 104 // CHUNK_BYTES + 3


@pytest.mark.parametrize("size", [0, LOGIN_FRAME_BYTES + 1, 2**24 - 1, 2**32 - 1])
def test_a_size_out_of_bounds_is_refused_before_anything_is_buffered(size: int) -> None:
    buffer = FrameBuffer()
    with pytest.raises(ProtocolError):
        feed(buffer, size.to_bytes(4, "big"), 4)
    assert len(buffer.room()) < LOGIN_FRAME_BYTES
