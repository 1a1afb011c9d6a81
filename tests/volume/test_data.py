"""What a user sees of file data: bytes, holes, clones, tokens' points in time, and refusals."""

import os
import re
from collections.abc import Callable

import pytest
import trio

from odxfs.errors import Corrupt, FileTooBig, InvalidArgument
from odxfs.types import BLOCK_BYTES, LEAF_BYTES, MAX_FILE_BYTES
from odxfs.volume import CAPABILITY_NAME, MOUNT, AttributeChange, Change, ContentChanged, Inode, Volume


async def make(volume: Volume, name: bytes, content: bytes = b"") -> Inode:
    inode = await volume.create(volume.root, name, 0o644, 0, 0)
    await volume.write(inode, 0, content)
    return inode


async def content(volume: Volume, inode: Inode) -> bytes:
    return bytes(await volume.read(inode, 0, inode.size))


async def test_unaligned_writes_keep_their_surroundings(volume: Volume) -> None:
    inode = await make(volume, b"a", b"a" * 10_000)
    await volume.write(inode, 4_000, b"b" * 200)
    await volume.write(inode, 9_999, b"c" * 2)
    expected = b"a" * 4_000 + b"b" * 200 + b"a" * 5_799 + b"cc"
    assert await content(volume, inode) == expected
    assert inode.size == 10_001
    assert await volume.pool.check(read_data=True) == []


async def test_what_lies_past_an_earlier_end_reads_as_zeros(volume: Volume) -> None:
    inode = await make(volume, b"a", b"a" * 10_000)
    await volume.truncate(inode, 5_000)
    await volume.truncate(inode, 9_000)
    assert await content(volume, inode) == b"a" * 5_000 + bytes(4_000)
    await volume.write(inode, 20_000, b"z")
    assert await content(volume, inode) == b"a" * 5_000 + bytes(15_000) + b"z"
    assert await volume.pool.check() == []


async def test_reads_end_with_the_file(volume: Volume) -> None:
    inode = await make(volume, b"a", b"0123456789")
    assert bytes(await volume.read(inode, 8, 100)) == b"89"
    assert bytes(await volume.read(inode, 10, 1)) == b""
    assert volume.read_nowait(inode, 99, 1) == b""


async def test_a_sparse_file_takes_no_space_for_its_holes(volume: Volume) -> None:
    inode = await make(volume, b"a")
    await volume.write(inode, 3 * LEAF_BYTES + 100, b"x")
    await volume.write(inode, 1 << 40, b"y")
    assert inode.allocated_bytes == 2 * BLOCK_BYTES
    assert await volume.allocated_ranges(inode, 0, inode.size) == [
        (3 * LEAF_BYTES, BLOCK_BYTES),
        (1 << 40, 1),
    ]
    assert bytes(await volume.read(inode, 3 * LEAF_BYTES, 200)) == bytes(100) + b"x" + bytes(99)
    assert await volume.next_data(inode, 0) == 3 * LEAF_BYTES
    assert await volume.next_data(inode, 4 * LEAF_BYTES) == 1 << 40
    assert await volume.next_data(inode, (1 << 40) + 1) is None
    assert await volume.pool.check() == []


async def test_a_search_through_a_long_hole_lets_others_run(volume: Volume) -> None:
    inode = await make(volume, b"a")
    await volume.truncate(inode, MAX_FILE_BYTES)
    assert await volume.next_data(inode, 0) is None
    with trio.testing.assert_checkpoints():  # though the whole map is in memory now
        assert await volume.next_data(inode, 0) is None


async def test_nothing_is_looked_for_before_the_first_byte(volume: Volume) -> None:
    inode = await make(volume, b"a", b"data")
    with pytest.raises(InvalidArgument):
        await volume.next_data(inode, -1)
    with pytest.raises(InvalidArgument):
        await volume.allocated_ranges(inode, -1, 10)


async def test_deallocation_zeroes_parts_of_blocks_and_frees_whole_ones(volume: Volume) -> None:
    inode = await make(volume, b"a", b"a" * (2 * LEAF_BYTES))
    await volume.deallocate(inode, 1_000, LEAF_BYTES)
    assert await content(volume, inode) == b"a" * 1_000 + bytes(LEAF_BYTES) + b"a" * (LEAF_BYTES - 1_000)
    assert inode.allocated_bytes == LEAF_BYTES + BLOCK_BYTES
    assert inode.size == 2 * LEAF_BYTES
    await volume.deallocate(inode, 0, inode.size)
    assert inode.allocated_bytes == 0
    await volume.pool.commit()
    assert volume.pool.statistics().allocated_bytes == 0
    assert await volume.pool.check() == []


async def test_overwriting_gives_the_old_blocks_back(volume: Volume) -> None:
    inode = await make(volume, b"a", bytes(1 << 20))
    for _ in range(5):
        await volume.write(inode, 0, os.urandom(1 << 20))
        await volume.sync()
    assert volume.pool.statistics().allocated_bytes == 1 << 20
    assert volume.pool.statistics().held_bytes == 0
    assert volume.pool.segments.disk_bytes() < 16 << 20


@pytest.mark.parametrize("length", [100, BLOCK_BYTES, LEAF_BYTES, 2 * LEAF_BYTES + 5_000])
async def test_a_pin_keeps_what_was_there_whatever_happens_to_the_file(volume: Volume, length: int) -> None:
    before = os.urandom(length)
    inode = await make(volume, b"a", before)
    pin = await volume.capture(inode, 0, length)
    await volume.write(inode, 0, b"new" * 40)
    await volume.write(inode, max(0, length - 5_000), os.urandom(6_000))
    await volume.truncate(inode, 10)
    await volume.sync()
    await volume.unlink(volume.root, b"a")
    await volume.sync()
    assert volume.pool.pin_exclusive_bytes(pin) >= length
    assert bytes(await volume.pool.read_pin(pin, 0, length)) == before
    other = await make(volume, b"b", b"old" * 7)
    await volume.write_pin(other, 0, pin, 0, length)
    assert await content(volume, other) == before[:length]
    volume.pool.release_pin(pin)
    volume.pool.release_pin(pin)
    await volume.sync()
    assert await content(volume, other) == before
    assert await volume.pool.check(read_data=True) == []
    with pytest.raises(InvalidArgument):
        await volume.write_pin(other, 0, pin, 0, 10)


async def test_a_pin_of_a_hole_says_so(volume: Volume) -> None:
    inode = await make(volume, b"a")
    await volume.truncate(inode, 4 * LEAF_BYTES)
    await volume.write(inode, LEAF_BYTES, b"data")
    assert (await volume.capture(inode, 0, LEAF_BYTES)).is_hole
    assert not (await volume.capture(inode, 0, 2 * LEAF_BYTES)).is_hole
    assert (await volume.capture(inode, LEAF_BYTES + BLOCK_BYTES, 1 << 20)).is_hole
    past = await volume.capture(inode, 4 * LEAF_BYTES, 100)
    assert past.is_hole
    assert past.length == 0


async def test_aligned_clones_share_and_take_no_space(volume: Volume) -> None:
    data = os.urandom(3 * LEAF_BYTES)
    source, destination = await make(volume, b"a", data), await make(volume, b"b")
    before = volume.pool.statistics().allocated_bytes
    assert await volume.clone_range(source, 0, destination, 0, len(data)) == len(data)
    assert volume.pool.statistics().allocated_bytes == before
    assert destination.allocated_bytes == len(data)
    await volume.write(destination, LEAF_BYTES, b"mine")
    assert await content(volume, source) == data
    assert (await content(volume, destination))[LEAF_BYTES : LEAF_BYTES + 5] == b"mine" + data[
        LEAF_BYTES + 4 :
    ][:1]
    assert volume.pool.statistics().allocated_bytes == before + BLOCK_BYTES
    await volume.sync()
    assert volume.pool.statistics().shared_bytes > 0
    assert await volume.pool.check(read_data=True) == []


@pytest.mark.parametrize(
    ("source_offset", "destination_offset", "length", "shared"),
    [
        (BLOCK_BYTES, 0, 20 * BLOCK_BYTES, 20 * BLOCK_BYTES),
        (100, BLOCK_BYTES + 100, LEAF_BYTES, LEAF_BYTES - BLOCK_BYTES),
        (0, 512, LEAF_BYTES, 0),
        (LEAF_BYTES - BLOCK_BYTES, 3 * LEAF_BYTES - BLOCK_BYTES, 2 * LEAF_BYTES, 2 * LEAF_BYTES),
        (5, 5, 10, 0),
    ],
)
async def test_clones_of_any_alignment_copy_what_cannot_be_shared(
    volume: Volume, source_offset: int, destination_offset: int, length: int, shared: int
) -> None:
    data, old = os.urandom(4 * LEAF_BYTES), os.urandom(2 * LEAF_BYTES)
    source, destination = await make(volume, b"a", data), await make(volume, b"b", old)
    assert await volume.clone_range(source, source_offset, destination, destination_offset, length) == shared
    end = destination_offset + length
    expected = bytearray(max(end, len(old)))
    expected[: len(old)] = old
    expected[destination_offset:end] = data[source_offset : source_offset + length]
    assert await content(volume, destination) == expected
    assert await volume.pool.check(read_data=True) == []


async def test_a_file_is_cloned_onto_itself_unless_the_ranges_overlap(volume: Volume) -> None:
    data = os.urandom(40 * BLOCK_BYTES)
    inode = await make(volume, b"a", data)
    await volume.clone_range(inode, 0, inode, 20 * BLOCK_BYTES, 10 * BLOCK_BYTES)
    expected = data[: 20 * BLOCK_BYTES] + data[: 10 * BLOCK_BYTES] + data[30 * BLOCK_BYTES :]
    assert await content(volume, inode) == expected
    with pytest.raises(InvalidArgument):
        await volume.clone_range(inode, 0, inode, BLOCK_BYTES, 2 * BLOCK_BYTES)
    await volume.truncate(inode, 25 * BLOCK_BYTES)
    assert await content(volume, inode) == expected[: 25 * BLOCK_BYTES]
    assert await volume.pool.check(read_data=True) == []


async def test_files_have_a_largest_size(volume: Volume) -> None:
    inode = await make(volume, b"a")
    with pytest.raises(FileTooBig):
        await volume.write(inode, MAX_FILE_BYTES, b"x")
    with pytest.raises(FileTooBig):
        await volume.truncate(inode, MAX_FILE_BYTES + 1)
    await volume.write(inode, MAX_FILE_BYTES - 1, b"x")
    await volume.truncate(inode, 0)
    assert await volume.pool.check() == []


async def test_a_changed_block_on_disk_is_an_error_and_never_data(
    volume: Volume, expect_log: Callable[[str], None]
) -> None:
    expect_log("does not match its checksum")
    inode = await make(volume, b"a", b"a" * (3 * BLOCK_BYTES))
    await volume.sync()
    segment = volume.pool.directory / "segments" / "00000000"
    with segment.open("r+b") as file:
        position = file.read(1 << 20).index(b"aaaa") + BLOCK_BYTES + 77
        file.seek(position)
        file.write(b"!")
    assert bytes(await volume.read(inode, 0, BLOCK_BYTES)) == b"a" * BLOCK_BYTES
    where = f"/a (inode {inode.number} of volume main), byte 4096"
    assert volume.read_nowait(inode, BLOCK_BYTES, 10) is None
    with pytest.raises(Corrupt, match=re.escape(where)):
        await volume.read(inode, BLOCK_BYTES, 10)
    with pytest.raises(Corrupt, match=re.escape(where)):
        await volume.read(inode, 0, 3 * BLOCK_BYTES)
    with pytest.raises(Corrupt, match=re.escape(where)):
        await volume.write(inode, BLOCK_BYTES + 5, b"part of the damaged block")
    (finding,) = await volume.pool.check(read_data=True)
    assert (finding.kind, finding.where) == ("data", where)
    await volume.write(inode, BLOCK_BYTES, b"b" * BLOCK_BYTES)
    assert await volume.pool.check(read_data=True) == []


async def test_observers_hear_of_each_change_of_content(volume: Volume) -> None:
    inode = await make(volume, b"a")
    heard: list[Change] = []
    volume.pool.add_observer(heard.append)
    await volume.pool.volume("main", "smb").write(inode, 10, b"123")
    await volume.truncate(inode, 5)
    volume.pool.remove_observer(heard.append)
    await volume.write(inode, 0, b"x")
    assert heard == [
        ContentChanged(volume.id, "smb", inode.number, 10, 3, size_changed=True),
        ContentChanged(volume.id, "", inode.number, 5, 8, size_changed=True),
    ]


async def test_the_disk_gets_the_space_of_deleted_files_back(volume: Volume) -> None:
    inode = await make(volume, b"a", os.urandom(32 << 20))
    await volume.sync()
    assert volume.pool.segments.disk_bytes() >= 32 << 20
    await volume.unlink(volume.root, b"a")
    await volume.sync()
    await volume.pool.reclaimer.turn(idle=True)
    assert volume.pool.segments.disk_bytes() < 4 << 20
    assert inode.gone
    again = await make(volume, b"b", b"b" * (4 << 20))
    assert await content(volume, again) == b"b" * (4 << 20)
    assert await volume.pool.check(read_data=True) == []


async def test_a_write_takes_the_privileges_of_a_program(volume: Volume) -> None:
    """Through the mount the kernel decides, which knows whether the writer may keep them; nobody does for the share."""
    for mode, left in ((0o6755, 0o755), (0o4644, 0o644), (0o2644, 0o2644), (0o755, 0o755)):
        program = await volume.create(volume.root, b"%o" % mode, mode, 0, 0)
        for change in (volume.write(program, 0, b"#!"), volume.truncate(program, 1)):
            await volume.set_attributes(program, AttributeChange(mode=mode))
            await change
            assert program.mode & 0o7777 == left
        mounted = volume.pool.volume("main", MOUNT)
        await mounted.set_attributes(program, AttributeChange(mode=mode))
        await mounted.write(program, 0, b"#!")
        assert program.mode & 0o7777 == mode


async def test_what_a_client_changes_has_no_file_capabilities_left(volume: Volume) -> None:
    program = await make(volume, b"program", b"#!")
    for change in (
        lambda: volume.write(program, 0, b"##"),
        lambda: volume.truncate(program, 1),
        lambda: volume.set_attributes(program, AttributeChange(uid=7)),
    ):
        await volume.set_xattr(program, CAPABILITY_NAME, b"everything")
        await volume.set_xattr(program, b"user.name", b"kept")
        await change()
        assert await volume.list_xattrs(program) == [b"user.name"]
