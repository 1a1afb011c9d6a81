"""What a share's policy makes of tokens: sources that change, calls that fail, lives that end early."""

from collections.abc import Awaitable, Callable

import pytest

from odxfs.errors import OffloadRefused, Refusal, UserError
from odxfs.ntstatus import Status
from odxfs.offload import OffloadPolicy
from odxfs.offload.token import ZERO_TOKEN
from odxfs.offload_policy import SourceChange
from odxfs.types import BLOCK_BYTES, LEAF_BYTES
from odxfs.volume import Inode
from tests.offload.scene import MIB, Scene, reason_of

Change = Callable[[Scene, Inode], Awaitable[object]]

START, LENGTH = LEAF_BYTES - MIB, 2 * MIB
"""What the token stands for: a megabyte on either side of where two leaves meet."""


async def write_first_block(scene: Scene, source: Inode) -> None:
    await scene.volume.write(source, START, b"n")


async def write_last_block(scene: Scene, source: Inode) -> None:
    await scene.volume.write(source, START + LENGTH - 1, b"n")


async def write_the_same_bytes(scene: Scene, source: Inode) -> None:
    await scene.volume.write(source, START, bytes(await scene.volume.read(source, START, MIB)))


async def punch(scene: Scene, source: Inode) -> None:
    await scene.volume.deallocate(source, LEAF_BYTES, BLOCK_BYTES)


async def cut(scene: Scene, source: Inode) -> None:
    await scene.volume.truncate(source, START + LENGTH - 1)


async def cut_and_grow(scene: Scene, source: Inode) -> None:
    size = source.size
    await scene.volume.truncate(source, START)
    await scene.volume.truncate(source, size)


async def write_a_token_over_it(scene: Scene, source: Inode) -> None:
    await scene.write_token(source, START, BLOCK_BYTES, ZERO_TOKEN)


async def delete(scene: Scene, source: Inode) -> None:
    await scene.volume.unlink(scene.volume.root, b"source")


async def rename_over(scene: Scene, source: Inode) -> None:
    await scene.file("other", b"o")
    await scene.volume.rename(scene.volume.root, b"other", scene.volume.root, b"source")


CHANGES = [
    write_first_block, write_last_block, write_the_same_bytes, punch, cut, cut_and_grow, write_a_token_over_it, delete,
    rename_over,
]  # fmt: skip


async def write_before(scene: Scene, source: Inode) -> None:
    await scene.volume.write(source, START - BLOCK_BYTES, b"n" * BLOCK_BYTES)


async def write_behind(scene: Scene, source: Inode) -> None:
    await scene.volume.write(source, START + LENGTH, b"n" * BLOCK_BYTES)


async def append(scene: Scene, source: Inode) -> None:
    await scene.volume.write(source, source.size, b"n" * MIB)


async def cut_behind(scene: Scene, source: Inode) -> None:
    await scene.volume.truncate(source, START + LENGTH)


async def rename(scene: Scene, source: Inode) -> None:
    await scene.volume.rename(scene.volume.root, b"source", scene.volume.root, b"renamed")


async def clone_it(scene: Scene, source: Inode) -> None:
    other = await scene.file("clone")
    await scene.volume.clone_range(source, 0, other, 0, source.size)


NO_CHANGES = [write_before, write_behind, append, cut_behind, rename, clone_it]


async def token_of_source(scene: Scene) -> tuple[Inode, Inode, bytes, bytes]:
    """A source, a destination, a token of a range of the source, and its bytes."""
    content = scene.random_bytes(START + LENGTH + MIB)
    source, target = await scene.file("source", content), await scene.file("target", bytes(LENGTH))
    token = await scene.read_token(source, START, LENGTH)
    return source, target, token, content[START : START + LENGTH]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("synced", [False, True])
async def test_a_change_of_the_range_ends_the_token(scene: Scene, change: Change, synced: bool) -> None:
    scene.policy = OffloadPolicy.parse("invalidate")
    source, target, token, bytes_of_token = await token_of_source(scene)
    scene.volume.hold(source)
    assert await scene.write_token(target, 0, LENGTH, token) == LENGTH
    assert await scene.content(target) == bytes_of_token
    if synced:
        await scene.volume.sync()
    await change(scene, source)
    assert await reason_of(scene.write_token(target, 0, LENGTH, token)) is Refusal.SOURCE_CHANGED
    assert len(scene.registry) == 0
    assert await reason_of(scene.write_token(target, 0, LENGTH, token)) is Refusal.SOURCE_CHANGED
    assert await scene.content(target) == bytes_of_token
    await scene.volume.release(source)


@pytest.mark.parametrize("change", NO_CHANGES)
@pytest.mark.parametrize("synced", [False, True])
async def test_what_leaves_the_range_alone_leaves_the_token_alone(
    scene: Scene, change: Change, synced: bool
) -> None:
    scene.policy = OffloadPolicy.parse("invalidate")
    source, target, token, bytes_of_token = await token_of_source(scene)
    await change(scene, source)
    if synced:
        await scene.volume.sync()
    assert await scene.write_token(target, 0, LENGTH, token) == LENGTH
    assert await scene.content(target) == bytes_of_token


async def test_a_token_of_a_file_that_nobody_has_open_and_that_is_deleted_is_refused(scene: Scene) -> None:
    scene.policy = OffloadPolicy.parse("invalidate")
    _, target, token, _ = await token_of_source(scene)
    await scene.volume.unlink(scene.volume.root, b"source")
    await scene.volume.pool.settle()
    assert await reason_of(scene.write_token(target, 0, LENGTH, token)) is Refusal.SOURCE_CHANGED


async def test_a_token_read_before_the_policy_keeps_its_bytes(scene: Scene) -> None:
    source, target, token, bytes_of_token = await token_of_source(scene)
    scene.policy = OffloadPolicy.parse("invalidate")
    await write_first_block(scene, source)
    assert await scene.write_token(target, 0, LENGTH, token) == LENGTH
    assert await scene.content(target) == bytes_of_token


async def test_every_call_is_refused_as_the_policy_says_before_anything_else(scene: Scene) -> None:
    source = await scene.file("source", b"x" * 4096)
    scene.policy = OffloadPolicy.parse("refuse:STATUS_DEVICE_UNREACHABLE")
    for call in (scene.read_token(source, 1, 4096), scene.write_token(source, 0, 4096, ZERO_TOKEN)):
        with pytest.raises(OffloadRefused) as refused:
            await call
        assert (refused.value.reason, refused.value.status) == (Refusal.INJECTED, Status.DEVICE_UNREACHABLE)
    assert [event.status for event in scene.events] == [Status.DEVICE_UNREACHABLE] * 2


async def test_one_call_of_the_share_fails_and_the_next_goes_on(scene: Scene) -> None:
    source = await scene.file("source", b"x" * 4096)
    scene.policy = OffloadPolicy.parse("fail:3:INVALID_TOKEN")
    token = await scene.read_token(source, 0, 4096)
    assert await scene.write_token(source, 0, 4096, token) == 4096
    with pytest.raises(OffloadRefused) as refused:
        await scene.write_token(source, 0, 4096, token)
    assert refused.value.status is Status.INVALID_TOKEN
    assert await scene.write_token(source, 0, 4096, token) == 4096
    scene.policy = OffloadPolicy.parse("fail:1")
    with pytest.raises(OffloadRefused) as refused:
        await scene.write_token(source, 0, 4096, token)
    assert refused.value.status is Status.INSUFFICIENT_RESOURCES


async def test_tokens_of_the_share_end_early(scene: Scene) -> None:
    source = await scene.file("source", b"x" * 4096)
    scene.policy = OffloadPolicy.parse("pin,expire:2.5")
    token = await scene.read_token(source, 0, 4096)
    scene.now = 2.4
    assert await scene.write_token(source, 0, 4096, token) == 4096
    scene.now = 2.5
    assert await reason_of(scene.write_token(source, 0, 4096, token)) is Refusal.EXPIRED_TOKEN


def test_a_policy_is_words_with_commas() -> None:
    policy = OffloadPolicy.parse("invalidate, fail:2:disk_full , delay:1.5, expire:0")
    assert policy == OffloadPolicy(
        SourceChange.INVALIDATE,
        fail_call=2,
        fail_status=Status.DISK_FULL,
        delay_seconds=1.5,
        expire_seconds=0.0,
    )
    assert OffloadPolicy.parse("") == OffloadPolicy.parse("pin") == OffloadPolicy()


@pytest.mark.parametrize(
    "text",
    [
        "pinned", "refuse", "refuse:NO_SUCH_STATUS", "refuse:SUCCESS", "fail:0", "fail:x", "fail:1:2:3", "delay:-1",
        "delay:nan", "delay:99999", "expire:", "pin:1",
    ],
)  # fmt: skip
def test_anything_else_is_a_mistake(text: str) -> None:
    with pytest.raises(UserError):
        OffloadPolicy.parse(text)


async def test_another_server_cannot_read_a_token_whose_source_changed(scene: Scene) -> None:
    scene.policy = OffloadPolicy.parse("invalidate")
    source, _, token, bytes_of_token = await token_of_source(scene)
    files = scene.engine.token_files(scene.volume.pool)
    assert bytes(await files.read(await files.open_token(token), 0, LENGTH)) == bytes_of_token
    await write_first_block(scene, source)
    assert await reason_of(files.open_token(token)) is Refusal.SOURCE_CHANGED


@pytest.mark.parametrize("words", ["invalidate", "expire:1"])
async def test_a_hole_gives_a_token_that_ends_where_the_policy_ends_tokens(scene: Scene, words: str) -> None:
    scene.policy = OffloadPolicy.parse(words)
    source, target = await scene.file("source"), await scene.file("target", b"o" * MIB)
    await scene.volume.truncate(source, MIB)
    token = await scene.read_token(source, 0, MIB)
    assert token != ZERO_TOKEN
    assert await scene.write_token(target, 0, MIB, token) == MIB
    assert (target.allocated_bytes, await scene.content(target)) == (0, bytes(MIB))
    await scene.volume.write(source, 0, b"n")
    scene.now += 2
    with pytest.raises(OffloadRefused):
        await scene.write_token(target, 0, MIB, token)
