"""MS-FSA 2.1.5.10.20 and 2.1.5.10.21: one row a rule in their order, and the earlier of two that are broken answers."""

from dataclasses import replace
from itertools import combinations
from typing import Any

import pytest

from odxfs.errors import Refusal
from odxfs.ntstatus import Status
from odxfs.offload import OffloadParty, ReadCall, WriteCall
from odxfs.offload.token import ZERO_TOKEN
from odxfs.types import MAX_FILE_BYTES
from odxfs.volume import Inode
from tests.offload.scene import DIRECTORY, Scene, read_call, reason_of, write_call

Row = tuple[str, dict[str, Any], dict[str, Any], Refusal]
"""What the file is, what of the open and what of the call breaks a rule, and what it is refused for."""

READ = read_call(0, 4096)
READ_CALL_RULES: list[Row] = [
    ("file", {"readable": False}, {}, Refusal.NOT_READABLE),
    ("file", {"enabled": False}, {}, Refusal.OFFLOAD_DISABLED),
    ("file", {}, {"input_bytes": 31}, Refusal.BUFFER_TOO_SMALL),
    ("file", {}, {"output_room_bytes": 527}, Refusal.BUFFER_TOO_SMALL),
    ("file", {}, {"file_offset": 1}, Refusal.NOT_ALIGNED),
    ("file", {}, {"copy_length": 513}, Refusal.NOT_ALIGNED),
    ("file", {}, {"size": 33}, Refusal.BAD_SIZE_FIELD),
    ("file", {}, {"file_offset": (1 << 64) - 512}, Refusal.RANGE_OVERFLOW),
]
"""Steps 1 to 8, in front of CopyLength 0."""
READ_FILE_RULES: list[Row] = [
    ("folder", {}, {}, Refusal.READ_FILE_KIND),
    ("small", {}, {}, Refusal.FILE_TOO_SMALL),
    ("gone", {}, {}, Refusal.FILE_DELETED),
    ("file", {}, {"file_offset": 1 << 63}, Refusal.RANGE_OVERFLOW),
    ("file", {"read_conflicts": lambda *_: True}, {}, Refusal.LOCKED),
    ("file", {}, {"file_offset": 8192}, Refusal.BEYOND_END),
]
"""Steps 10 to 16, behind it."""
READ_RULES = READ_CALL_RULES + READ_FILE_RULES

WRITE = write_call(0, 4096, ZERO_TOKEN)
WRITE_CALL_RULES: list[Row] = [
    ("file", {"writable": False}, {}, Refusal.NOT_WRITABLE),
    ("file", {"read_only": True}, {}, Refusal.VOLUME_READ_ONLY),
    ("file", {"enabled": False}, {}, Refusal.OFFLOAD_DISABLED),
    ("file", {}, {"input_bytes": 543}, Refusal.BUFFER_TOO_SMALL),
    ("file", {}, {"output_room_bytes": 15}, Refusal.BUFFER_TOO_SMALL),
    ("file", {}, {"file_offset": 1}, Refusal.NOT_ALIGNED),
    ("file", {}, {"copy_length": 513}, Refusal.NOT_ALIGNED),
    ("file", {}, {"transfer_offset": 100}, Refusal.NOT_ALIGNED),
    ("file", {}, {"size": 545}, Refusal.BAD_SIZE_FIELD),
    ("file", {}, {"file_offset": (1 << 64) - 512}, Refusal.RANGE_OVERFLOW),
]
"""Steps 1 to 10."""
WRITE_FILE_RULES: list[Row] = [
    ("folder", {}, {}, Refusal.WRITE_FILE_KIND),
    ("gone", {}, {}, Refusal.FILE_DELETED),
    ("file", {}, {"file_offset": 1 << 63}, Refusal.RANGE_OVERFLOW),
    ("file", {}, {"copy_length": MAX_FILE_BYTES + 512}, Refusal.RANGE_OVERFLOW),
    ("file", {"write_conflicts": lambda *_: True}, {}, Refusal.LOCKED),
    ("file", {}, {"file_offset": 8192}, Refusal.BEYOND_END),
]
"""Steps 12 to 18."""
WRITE_TOKEN_RULES: list[Row] = [
    ("file", {}, {"token": bytes(512)}, Refusal.UNKNOWN_TOKEN),
]
"""The token is looked at last."""
WRITE_RULES = WRITE_CALL_RULES + WRITE_FILE_RULES + WRITE_TOKEN_RULES

STATUSES = {
    Refusal.NOT_READABLE: Status.ACCESS_DENIED,
    Refusal.NOT_WRITABLE: Status.ACCESS_DENIED,
    Refusal.OFFLOAD_DISABLED: Status.NOT_SUPPORTED,
    Refusal.BUFFER_TOO_SMALL: Status.BUFFER_TOO_SMALL,
    Refusal.NOT_ALIGNED: Status.INVALID_PARAMETER,
    Refusal.BAD_SIZE_FIELD: Status.INVALID_PARAMETER,
    Refusal.RANGE_OVERFLOW: Status.INVALID_PARAMETER,
    Refusal.READ_FILE_KIND: Status.OFFLOAD_READ_FILE_NOT_SUPPORTED,
    Refusal.FILE_TOO_SMALL: Status.OFFLOAD_READ_FILE_NOT_SUPPORTED,
    Refusal.WRITE_FILE_KIND: Status.OFFLOAD_WRITE_FILE_NOT_SUPPORTED,
    Refusal.FILE_DELETED: Status.FILE_DELETED,
    Refusal.LOCKED: Status.FILE_LOCK_CONFLICT,
    Refusal.BEYOND_END: Status.END_OF_FILE,
    Refusal.VOLUME_READ_ONLY: Status.MEDIA_WRITE_PROTECTED,
    Refusal.UNKNOWN_TOKEN: Status.INVALID_TOKEN,
}
"""MS-ERREF 2.3.1 by MS-FSA's names."""


class Files:
    """A file of each kind that a rule asks about. `settings` in force: files below a block get no token."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.kinds: dict[str, Inode] = {}

    async def make(self) -> "Files":
        scene = self.scene
        scene.settings = replace(scene.settings, smallest_file_bytes=4096)
        self.kinds = {
            "file": await scene.file("file", b"x" * 8192),
            "small": await scene.file("small", b"x" * 4095),
            "folder": await scene.file("folder", mode=DIRECTORY),
            "gone": await scene.file("gone", b"x" * 8192),
        }
        scene.volume.hold(self.kinds["gone"])
        await scene.volume.unlink(scene.volume.root, b"gone")
        return self

    async def leave(self) -> None:
        await self.scene.volume.release(self.kinds["gone"])

    def party(self, *rows: Row) -> OffloadParty:
        """An open that breaks what the rows break."""
        kind = next((row[0] for row in rows if row[0] != "file"), "file")
        changes: dict[str, Any] = {}
        for row in rows:
            changes |= row[1]
        return replace(self.scene.party(self.kinds[kind]), **changes)

    async def read_reason(self, *rows: Row, **more: Any) -> Refusal:
        call: ReadCall = replace(READ, **_call_of(rows), **more)
        return await reason_of(self.scene.engine.offload_read(self.party(*rows), call))

    async def write_reason(self, *rows: Row, **more: Any) -> Refusal:
        call: WriteCall = replace(WRITE, **_call_of(rows), **more)
        return await reason_of(self.scene.engine.offload_write(self.party(*rows), call))


def _call_of(rows: tuple[Row, ...]) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    for row in reversed(rows):
        changes |= row[2]
    return changes


def can_be_broken_at_once(first: Row, second: Row) -> bool:
    """Whether one call can break both: they ask for no two files, and for no two values of one field."""
    kinds = {first[0], second[0]} - {"file"}
    return len(kinds) < 2 and not set(first[2]) & set(second[2]) and not set(first[1]) & set(second[1])


def test_each_reason_has_the_status_of_the_specification() -> None:
    for _, _, _, reason in READ_RULES + WRITE_RULES:
        assert reason.status is STATUSES[reason]


@pytest.mark.parametrize("row", READ_RULES, ids=lambda row: row[3].label)
async def test_each_rule_of_offload_read(scene: Scene, row: Row) -> None:
    files = await Files(scene).make()
    assert await files.read_reason(row) is row[3]
    assert scene.engine.counters.refusals[row[3].label] == 1
    assert len(scene.registry) == 0
    await files.leave()


@pytest.mark.parametrize("row", WRITE_RULES, ids=lambda row: row[3].label)
async def test_each_rule_of_offload_write(scene: Scene, row: Row) -> None:
    files = await Files(scene).make()
    assert await files.write_reason(row) is row[3]
    assert scene.engine.counters.refusals[row[3].label] == 1
    assert await scene.content(files.kinds["file"]) == b"x" * 8192
    await files.leave()


async def test_of_two_broken_read_rules_the_earlier_one_answers(scene: Scene) -> None:
    files, compared = await Files(scene).make(), 0
    for first, second in combinations(READ_RULES, 2):
        if can_be_broken_at_once(first, second):
            assert await files.read_reason(first, second) is first[3], (first, second)
            compared += 1
    assert compared > 70
    await files.leave()


async def test_of_two_broken_write_rules_the_earlier_one_answers(scene: Scene) -> None:
    files, compared = await Files(scene).make(), 0
    for first, second in combinations(WRITE_RULES, 2):
        if can_be_broken_at_once(first, second):
            assert await files.write_reason(first, second) is first[3], (first, second)
            compared += 1
    assert compared > 100
    await files.leave()


async def test_a_copy_length_of_zero_comes_behind_what_the_call_says_and_before_the_file(
    scene: Scene,
) -> None:
    files = await Files(scene).make()
    for row in READ_CALL_RULES:
        if "copy_length" not in row[2] and row[3] is not Refusal.RANGE_OVERFLOW:
            assert await files.read_reason(row, copy_length=0) is row[3]
    for row in WRITE_CALL_RULES:
        if "copy_length" not in row[2] and row[3] is not Refusal.RANGE_OVERFLOW:
            assert await files.write_reason(row, copy_length=0) is row[3]
    for row in READ_FILE_RULES:
        call = replace(READ, **(row[2] | {"copy_length": 0}))
        assert (await scene.engine.offload_read(files.party(row), call)).transfer_length == 0
    for row in WRITE_FILE_RULES + WRITE_TOKEN_RULES:
        write = replace(WRITE, **(row[2] | {"copy_length": 0}))
        assert await scene.engine.offload_write(files.party(row), write) == 0
    assert await scene.content(files.kinds["file"]) == b"x" * 8192
    await files.leave()


async def test_locks_are_asked_about_the_range_of_the_call(scene: Scene) -> None:
    """MS-FSA names FileOffset and CopyLength, however much of it a token will hold or a file has room for.

    A read asks again in the step in which it captures the range.
    """
    source = await scene.file("source", b"x" * 8192)
    asked: list[tuple[int, int]] = []

    def note(offset: int, length: int) -> bool:
        asked.append((offset, length))
        return False

    party = replace(scene.party(source), read_conflicts=note, write_conflicts=note)
    await scene.engine.offload_read(party, read_call(4096, 1 << 40))
    await scene.engine.offload_write(party, write_call(512, 1 << 30, ZERO_TOKEN))
    assert asked[:3] == [(4096, 1 << 40), (4096, 1 << 40), (512, 1 << 30)]


async def test_a_write_changes_the_last_write_time_and_a_read_does_not(scene: Scene) -> None:
    source, target = await scene.file("source", b"x" * 4096), await scene.file("target", b"y" * 4096)
    before = source.mtime_ns, target.mtime_ns
    token = await scene.read_token(source, 0, 4096)
    await scene.write_token(target, 0, 0, token)
    assert (source.mtime_ns, target.mtime_ns) == before
    await scene.write_token(target, 0, 4096, token)
    assert source.mtime_ns == before[0]
    assert target.mtime_ns > before[1]
    written = target.mtime_ns
    await scene.write_token(target, 0, 4096, ZERO_TOKEN)
    assert target.mtime_ns > written
