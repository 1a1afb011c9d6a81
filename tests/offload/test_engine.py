"""Offload read and write over a real volume: tokens are points in time, and every rule has its status."""

import random
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from odxfs.errors import OffloadRefused, Refusal
from odxfs.offload import OffloadEngine, OffloadParty, ReadCall, TokenLimits, TokenRegistry, WriteCall
from odxfs.offload.counters import Mechanism
from odxfs.offload.token import ZERO_TOKEN, is_zero_token
from odxfs.types import LEAF_BYTES, MAX_FILE_BYTES, Buffer
from odxfs.volume import Inode, Volume, create_pool, open_pool

MIB = 1024 * 1024
FILE = 0o100644
DIRECTORY = 0o040755


class Scene:
    """A fresh volume, an engine on a clock that the test sets, and short ways to say things."""

    def __init__(self, volume: Volume) -> None:
        self.volume = volume
        self.now = 0.0
        pool = volume.pool
        self.registry = TokenRegistry.of_pool(pool, TokenLimits())
        self.engine = OffloadEngine(self.registry, lambda: self.now)
        self._random = random.Random(3)

    async def file(self, name: str, content: bytes = b"", mode: int = FILE) -> Inode:
        inode = await self.volume.create(self.volume.root, name.encode(), mode, 0, 0)
        if content:
            await self.volume.write(inode, 0, content)
        return inode

    def random_bytes(self, count: int) -> bytes:
        return self._random.randbytes(count)

    def party(self, inode: Inode) -> OffloadParty:
        return OffloadParty(
            volume=self.volume,
            inode=inode,
            readable=True,
            writable=True,
            read_only=False,
            enabled=True,
            read_conflicts=lambda offset, length: False,
            write_conflicts=lambda offset, length: False,
            owner="alice",
            client="127.0.0.1",
        )

    async def read_token(self, inode: Inode, offset: int, length: int) -> bytes:
        return (await self.engine.offload_read(self.party(inode), read_call(offset, length))).token

    async def write_token(
        self, inode: Inode, offset: int, length: int, token: Buffer, inside: int = 0
    ) -> int:
        return await self.engine.offload_write(self.party(inode), write_call(offset, length, token, inside))

    async def content(self, inode: Inode) -> bytes:
        return bytes(await self.volume.read(inode, 0, inode.size))


def read_call(offset: int, length: int) -> ReadCall:
    return ReadCall(32, 528, 32, 0, offset, length)


def write_call(offset: int, length: int, token: Buffer, inside: int = 0) -> WriteCall:
    return WriteCall(544, 16, 544, offset, length, inside, token)


@pytest.fixture
def scene(tmp_path: Path) -> AbstractAsyncContextManager[Scene]:
    """A scene on a fresh pool, which must be undamaged and without pins at the end."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[Scene]:
        create_pool(tmp_path / "pool")
        async with open_pool(tmp_path / "pool", owner="test") as pool:
            scene = Scene(pool.volume("main"))
            yield scene
            scene.engine.close()
            assert pool.statistics().pinned_only_bytes == 0
            assert await pool.check() == []

    return opened()


async def overwrite(scene: Scene, source: Inode) -> None:
    await scene.volume.write(source, 0, scene.random_bytes(source.size))


async def truncate(scene: Scene, source: Inode) -> None:
    await scene.volume.truncate(source, 0)


async def delete(scene: Scene, source: Inode) -> None:
    await scene.volume.unlink(scene.volume.root, b"source")


async def rename_over(scene: Scene, source: Inode) -> None:
    await scene.file("other", scene.random_bytes(100))
    await scene.volume.rename(scene.volume.root, b"other", scene.volume.root, b"source")


async def punch(scene: Scene, source: Inode) -> None:
    await scene.volume.deallocate(source, 4096, MIB)


@pytest.mark.parametrize("change", [overwrite, truncate, delete, rename_over, punch])
@pytest.mark.parametrize("synced", [False, True])
async def test_a_token_is_a_point_in_time(
    scene: Scene, change: Callable[[Scene, Inode], object], synced: bool
) -> None:
    content = scene.random_bytes(3 * MIB)
    source, target = await scene.file("source", content), await scene.file("target")
    await scene.volume.truncate(target, len(content))
    if synced:
        await scene.volume.sync()
    token = await scene.read_token(source, 0, len(content))
    await change(scene, source)  # type: ignore[misc]
    await scene.volume.sync()
    assert await scene.write_token(target, 0, len(content), token) == len(content)
    assert await scene.content(target) == content


async def test_an_aligned_window_is_shared_and_not_copied(scene: Scene) -> None:
    content = scene.random_bytes(LEAF_BYTES)
    source, target = await scene.file("source", content), await scene.file("target")
    await scene.volume.truncate(target, LEAF_BYTES)
    before = scene.volume.pool.statistics().allocated_bytes
    token = await scene.read_token(source, 0, LEAF_BYTES)
    await scene.write_token(target, 0, LEAF_BYTES, token)
    assert scene.volume.pool.statistics().allocated_bytes == before
    assert scene.engine.counters.mechanisms[Mechanism.OFFLOAD].shared_bytes == LEAF_BYTES
    assert await scene.content(target) == content


async def test_one_token_is_written_many_times_and_in_parts(scene: Scene) -> None:
    content = scene.random_bytes(MIB)
    source, target = await scene.file("source", content), await scene.file("target")
    await scene.volume.truncate(target, 4 * MIB)
    token = await scene.read_token(source, 0, MIB)
    for turn in range(3):
        scene.now += 50
        assert await scene.write_token(target, turn * MIB, MIB, token) == MIB
    assert await scene.write_token(target, 3 * MIB, 512, token, inside=MIB - 512) == 512
    assert (await scene.content(target))[: 3 * MIB + 512] == content * 3 + content[-512:]


async def test_sector_aligned_ranges_that_fit_no_block_arrive_whole(scene: Scene) -> None:
    content, old = scene.random_bytes(MIB), scene.random_bytes(MIB)
    source, target = await scene.file("source", content), await scene.file("target", old)
    token = await scene.read_token(source, 512, 10 * 4096)
    assert await scene.write_token(target, 1536, 9 * 4096, token, inside=1024) == 9 * 4096
    expected = old[:1536] + content[1536 : 1536 + 9 * 4096] + old[1536 + 9 * 4096 :]
    assert await scene.content(target) == expected


async def test_the_end_of_a_file_that_is_no_sector_counts_as_a_whole_one(scene: Scene) -> None:
    content = scene.random_bytes(1000)
    source, target = await scene.file("source", content), await scene.file("target", scene.random_bytes(1000))
    result = await scene.engine.offload_read(scene.party(source), read_call(0, MIB))
    assert (result.transfer_length, result.all_zero_beyond) == (1024, True)
    assert await scene.write_token(target, 0, MIB, result.token) == 1024
    assert target.size == 1000
    assert await scene.content(target) == content


async def test_what_a_token_has_past_its_data_is_zeros(scene: Scene) -> None:
    source, target = await scene.file("source", b"x" * 1000), await scene.file("target", b"y" * 8192)
    token = await scene.read_token(source, 0, 1024)
    assert await scene.write_token(target, 4096, 4096, token) == 1024
    assert await scene.content(target) == b"y" * 4096 + b"x" * 1000 + bytes(24) + b"y" * 3072


async def test_a_write_never_extends_the_file(scene: Scene) -> None:
    content = scene.random_bytes(MIB)
    source, target = await scene.file("source", content), await scene.file("target", bytes(4096))
    token = await scene.read_token(source, 0, MIB)
    assert await scene.write_token(target, 0, MIB, token) == 4096
    assert await scene.content(target) == content[:4096]


async def test_a_hole_reads_as_the_zero_token_however_large(scene: Scene) -> None:
    source = await scene.file("source")
    await scene.volume.truncate(source, 1 << 40)
    await scene.volume.write(source, 1 << 39, b"data")
    result = await scene.engine.offload_read(scene.party(source), read_call(0, 1 << 40))
    assert is_zero_token(result.token)
    assert (result.transfer_length, result.all_zero_beyond) == (1 << 39, False)
    rest = await scene.engine.offload_read(scene.party(source), read_call((1 << 39) + 4096, 1 << 39))
    assert is_zero_token(rest.token)
    assert rest.all_zero_beyond
    assert len(scene.registry) == 0


async def test_all_zero_beyond_is_said_only_when_it_is_so(scene: Scene) -> None:
    source = await scene.file("source", scene.random_bytes(4096))
    await scene.volume.truncate(source, 4 * LEAF_BYTES)
    assert (await scene.engine.offload_read(scene.party(source), read_call(0, 4096))).all_zero_beyond
    await scene.volume.write(source, 3 * LEAF_BYTES, b"x")
    assert not (await scene.engine.offload_read(scene.party(source), read_call(0, 4096))).all_zero_beyond


async def test_writing_the_zero_token_frees_space(scene: Scene) -> None:
    target = await scene.file("target", scene.random_bytes(2 * MIB))
    assert await scene.write_token(target, 0, MIB, ZERO_TOKEN) == MIB
    assert await scene.volume.allocated_ranges(target, 0, 2 * MIB) == [(MIB, MIB)]
    assert (await scene.content(target))[:MIB] == bytes(MIB)


async def test_a_token_is_smaller_than_what_was_asked_for_and_the_next_one_goes_on(scene: Scene) -> None:
    source = await scene.file("source", scene.random_bytes(LEAF_BYTES + MIB))
    first = await scene.engine.offload_read(scene.party(source), read_call(0, LEAF_BYTES + MIB))
    assert (first.transfer_length, first.all_zero_beyond) == (LEAF_BYTES, False)
    second = await scene.engine.offload_read(scene.party(source), read_call(LEAF_BYTES, MIB))
    assert (second.transfer_length, second.all_zero_beyond) == (MIB, True)


async def test_a_copy_within_one_file(scene: Scene) -> None:
    content = scene.random_bytes(2 * MIB)
    source = await scene.file("source", content)
    token = await scene.read_token(source, 0, MIB)
    assert await scene.write_token(source, MIB, MIB, token) == MIB
    assert await scene.content(source) == content[:MIB] * 2


async def test_copy_length_zero_succeeds_before_the_token_is_looked_at(scene: Scene) -> None:
    empty = await scene.file("empty")
    result = await scene.engine.offload_read(scene.party(empty), read_call(0, 0))
    assert (result.transfer_length, is_zero_token(result.token)) == (0, True)
    assert await scene.write_token(empty, 0, 0, bytes(512)) == 0


async def test_an_expired_token_and_one_of_another_server_are_refused(scene: Scene) -> None:
    source = await scene.file("source", b"x" * 4096)
    token = await scene.read_token(source, 0, 4096)
    scene.now = 60
    assert await refusal_of_write(scene, source, write_call(0, 4096, token)) is Refusal.EXPIRED_TOKEN
    foreign = b"\x00\x01\x00\x01" + token[4:]
    assert await refusal_of_write(scene, source, write_call(0, 4096, foreign)) is Refusal.UNKNOWN_TOKEN
    beyond = await scene.read_token(source, 0, 4096)
    call = write_call(0, 512, beyond, inside=4096)
    assert await refusal_of_write(scene, source, call) is Refusal.OFFSET_BEYOND_TOKEN


READ = read_call(0, 4096)
READ_RULES: list[tuple[dict[str, object], dict[str, object], Refusal]] = [
    ({"readable": False}, {}, Refusal.NOT_READABLE),
    ({"enabled": False}, {}, Refusal.OFFLOAD_DISABLED),
    ({}, {"input_bytes": 31}, Refusal.BUFFER_TOO_SMALL),
    ({}, {"output_room_bytes": 527}, Refusal.BUFFER_TOO_SMALL),
    ({}, {"file_offset": 1}, Refusal.NOT_ALIGNED),
    ({}, {"copy_length": 513}, Refusal.NOT_ALIGNED),
    ({}, {"size": 33}, Refusal.BAD_SIZE_FIELD),
    ({}, {"file_offset": (1 << 64) - 512}, Refusal.RANGE_OVERFLOW),
    ({"read_conflicts": lambda offset, length: True}, {}, Refusal.LOCKED),
    ({}, {"file_offset": 8192}, Refusal.BEYOND_END),
]


@pytest.mark.parametrize(("party", "call", "reason"), READ_RULES)
async def test_each_rule_of_offload_read(
    scene: Scene, party: dict[str, object], call: dict[str, object], reason: Refusal
) -> None:
    source = await scene.file("source", b"x" * 8192)
    with pytest.raises(OffloadRefused) as refused:
        await scene.engine.offload_read(
            replace(scene.party(source), **party),  # type: ignore[arg-type]
            replace(READ, **call),  # type: ignore[arg-type]
        )
    assert refused.value.reason is reason
    assert scene.engine.counters.refusals[reason.label] == 1


@pytest.mark.parametrize("earlier", range(len(READ_RULES)))
async def test_of_two_broken_read_rules_the_earlier_one_answers(scene: Scene, earlier: int) -> None:
    source = await scene.file("source", b"x" * 8192)
    for party, call, _ in READ_RULES[earlier + 1 :]:
        first_party, first_call, reason = READ_RULES[earlier]
        if set(call) & set(first_call):
            continue
        with pytest.raises(OffloadRefused) as refused:
            await scene.engine.offload_read(
                replace(scene.party(source), **{**party, **first_party}),  # type: ignore[arg-type]
                replace(READ, **{**call, **first_call}),  # type: ignore[arg-type]
            )
        assert refused.value.reason is reason


WRITE = write_call(0, 4096, ZERO_TOKEN)
WRITE_RULES: list[tuple[dict[str, object], dict[str, object], Refusal]] = [
    ({"writable": False}, {}, Refusal.NOT_WRITABLE),
    ({"read_only": True}, {}, Refusal.VOLUME_READ_ONLY),
    ({"enabled": False}, {}, Refusal.OFFLOAD_DISABLED),
    ({}, {"input_bytes": 543}, Refusal.BUFFER_TOO_SMALL),
    ({}, {"output_room_bytes": 15}, Refusal.BUFFER_TOO_SMALL),
    ({}, {"file_offset": 1}, Refusal.NOT_ALIGNED),
    ({}, {"copy_length": 513}, Refusal.NOT_ALIGNED),
    ({}, {"transfer_offset": 100}, Refusal.NOT_ALIGNED),
    ({}, {"size": 545}, Refusal.BAD_SIZE_FIELD),
    ({}, {"file_offset": (1 << 64) - 512}, Refusal.RANGE_OVERFLOW),
    ({}, {"copy_length": MAX_FILE_BYTES + 512}, Refusal.RANGE_OVERFLOW),
    ({"write_conflicts": lambda offset, length: True}, {}, Refusal.LOCKED),
    ({}, {"file_offset": 8192}, Refusal.BEYOND_END),
]


@pytest.mark.parametrize(("party", "call", "reason"), WRITE_RULES)
async def test_each_rule_of_offload_write(
    scene: Scene, party: dict[str, object], call: dict[str, object], reason: Refusal
) -> None:
    target = await scene.file("target", b"x" * 8192)
    with pytest.raises(OffloadRefused) as refused:
        await scene.engine.offload_write(
            replace(scene.party(target), **party),  # type: ignore[arg-type]
            replace(WRITE, **call),  # type: ignore[arg-type]
        )
    assert refused.value.reason is reason
    assert await scene.content(target) == b"x" * 8192


async def test_directories_and_deleted_files_are_refused(scene: Scene) -> None:
    folder = await scene.file("folder", mode=DIRECTORY)
    assert await refusal_of_read(scene, folder, READ) is Refusal.READ_FILE_KIND
    assert await refusal_of_write(scene, folder, WRITE) is Refusal.WRITE_FILE_KIND
    gone = await scene.file("gone", b"x" * 8192)
    scene.volume.hold(gone)
    await scene.volume.unlink(scene.volume.root, b"gone")
    assert await refusal_of_read(scene, gone, READ) is Refusal.FILE_DELETED
    assert await refusal_of_write(scene, gone, WRITE) is Refusal.FILE_DELETED
    await scene.volume.release(gone)


async def refusal_of_read(scene: Scene, inode: Inode, call: ReadCall) -> Refusal:
    with pytest.raises(OffloadRefused) as refused:
        await scene.engine.offload_read(scene.party(inode), call)
    return refused.value.reason


async def refusal_of_write(scene: Scene, inode: Inode, call: WriteCall) -> Refusal:
    with pytest.raises(OffloadRefused) as refused:
        await scene.engine.offload_write(scene.party(inode), call)
    return refused.value.reason
