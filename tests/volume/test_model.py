"""The whole volume against a plain model: names in a dict, files as bytearrays, a bytes copy for each pin.

ODXFS_MODEL_EXAMPLES=n drives n random sequences (a few hundred are a good night); without it a fixed, short choice runs.
"""

import os
import random
import shutil
import stat
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from odxfs.types import BLOCK_BYTES, LEAF_BYTES
from odxfs.volume import Pin, Pool, Volume, create_pool
from tests.volume.portal import Portal

EXAMPLES = int(os.environ.get("ODXFS_MODEL_EXAMPLES", "0"))

LARGEST = 2 * LEAF_BYTES + 64 * 1024
"""Files end here: three leaves, the interesting places are around their borders."""

names = st.sampled_from([b"a", b"b", b"c", b"D"])
offsets = st.builds(
    lambda base, distance: max(0, min(base + distance, LARGEST)),
    st.sampled_from([0, 0, 3 * BLOCK_BYTES, LEAF_BYTES, 2 * LEAF_BYTES]),
    st.sampled_from([-BLOCK_BYTES, -512, -1, 0, 0, 0, 1, 511, 512, BLOCK_BYTES, 5 * BLOCK_BYTES, 9999]),
)
lengths = st.sampled_from(
    [
        1,
        511,
        512,
        BLOCK_BYTES,
        BLOCK_BYTES + 1,
        3 * BLOCK_BYTES,
        70_000,
        300_000,
        LEAF_BYTES,
        LEAF_BYTES + BLOCK_BYTES,
    ]
)
write_lengths = st.sampled_from([1, 511, 512, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES, 70_000, 300_000])
seeds = st.integers(0, 2**32)
picks = st.integers(0, 1000)


@dataclass(eq=False)
class File:
    """What a file should hold; `inode` is the real Inode, of the pool that is open now."""

    data: bytearray
    inode: Any
    holds: int = 0

    def write(self, offset: int, data: bytes) -> None:
        if offset > len(self.data):
            self.data += bytes(offset - len(self.data))
        self.data[offset : offset + len(data)] = data


@dataclass
class Tree:
    """The names and what they lead to."""

    names: dict[bytes, File] = field(default_factory=dict)

    def frozen(self) -> dict[bytes, tuple[int, bytes]]:
        """A copy: name -> (which file, its bytes)."""
        return {name: (id(file), bytes(file.data)) for name, file in self.names.items()}


class VolumeMachine(RuleBasedStateMachine):
    """Each rule does one thing to the volume and the same to the model."""

    def __init__(self) -> None:
        super().__init__()
        self.portal = Portal()
        self.portal.__enter__()
        self.workspace = Path(tempfile.mkdtemp(prefix="odxfs-model-"))
        self.directory = self.workspace / "pool-0"
        self.tree = Tree()
        self.pins: list[tuple[Pin, bytes]] = []
        self.nameless: list[File] = []
        self.changed: set[int] = set()
        create_pool(self.directory)
        self._open()
        self._note_commit()

    # The pool

    def _open(self) -> None:
        self.opened = self.portal.open_pool(self.directory)
        self.pool: Pool = self.opened.pool
        self.volume: Volume = self.pool.volume("main")
        self._gate_commits()

    def _gate_commits(self) -> None:
        """Commits happen when a rule says so, so that it is known what a crash leaves."""
        committer: Any = self.pool.committer
        self.may_commit = trio.Event()
        commit_once = committer.commit_once

        async def when_allowed() -> None:
            await self.may_commit.wait()
            await commit_once()

        committer.commit_once = when_allowed

    def _do(self, method: str, *arguments: object, **more: object) -> Any:
        async def run() -> Any:
            return await getattr(self.volume, method)(*arguments, **more)

        return self.portal.call(run)

    def _note_commit(self) -> None:
        self.committed = self.tree.frozen()

    async def _allow_commits(self) -> None:
        self.may_commit.set()

    async def _commit(self) -> None:
        self.may_commit.set()
        await self.pool.commit()
        self.may_commit = trio.Event()

    def _pick(self, pick: int) -> File:
        files = [*self.tree.names.values(), *self.nameless]
        return files[pick % len(files)]

    # Names

    @initialize()
    def first_files(self) -> None:
        self.create(b"a")
        self.create(b"b")
        self.write(0, [(0, 300_000), (LEAF_BYTES - 70_000, 300_000)], 1)

    @rule(name=names)
    def create(self, name: bytes) -> None:
        if name not in self.tree.names:
            inode = self._do("create", self.volume.root, name, stat.S_IFREG | 0o644, 0, 0)
            self.tree.names[name] = File(bytearray(), inode)

    @precondition(lambda self: self.tree.names)
    @rule(pick=picks, name=names)
    def link(self, pick: int, name: bytes) -> None:
        files = list(self.tree.names.values())
        if name not in self.tree.names:
            file = files[pick % len(files)]
            self._do("link", file.inode, self.volume.root, name)
            self.tree.names[name] = file

    @precondition(lambda self: len(self.tree.names) > 1)
    @rule(pick=picks)
    def unlink(self, pick: int) -> None:
        name = sorted(self.tree.names)[pick % len(self.tree.names)]
        self._do("unlink", self.volume.root, name)
        self._lost_name(self.tree.names.pop(name))

    @precondition(lambda self: self.tree.names)
    @rule(pick=picks, name=names)
    def rename(self, pick: int, name: bytes) -> None:
        old = sorted(self.tree.names)[pick % len(self.tree.names)]
        self._do("rename", self.volume.root, old, self.volume.root, name)
        replaced = self.tree.names.get(name)
        if replaced is self.tree.names[old]:
            return
        self.tree.names[name] = self.tree.names.pop(old)
        if replaced is not None:
            self._lost_name(replaced)

    def _lost_name(self, file: File) -> None:
        if file not in self.tree.names.values() and file.holds:
            self.nameless.append(file)

    @precondition(lambda self: self.tree.names)
    @rule(pick=picks)
    def hold(self, pick: int) -> None:
        file = self._pick(pick)
        self.volume.hold(file.inode)  # a count, which no other task looks at now
        file.holds += 1

    @precondition(lambda self: any(file.holds for file in [*self.tree.names.values(), *self.nameless]))
    @rule(pick=picks)
    def release(self, pick: int) -> None:
        held = [file for file in dict.fromkeys([*self.tree.names.values(), *self.nameless]) if file.holds]
        file = held[pick % len(held)]
        self._do("release", file.inode)
        file.holds -= 1
        if not file.holds and file in self.nameless:
            self.nameless.remove(file)

    # Data

    @precondition(lambda self: self.tree.names or self.nameless)
    @rule(pick=picks, writes=st.lists(st.tuples(offsets, write_lengths), min_size=1, max_size=5), seed=seeds)
    def write(self, pick: int, writes: list[tuple[int, int]], seed: int) -> None:
        file = self._pick(pick)
        for offset, length in writes:
            seed += 1
            data = random.Random(seed).randbytes(length)
            self._do("write", file.inode, offset, data)
            file.write(offset, data)
        self.changed.add(id(file))

    @precondition(lambda self: self.tree.names or self.nameless)
    @rule(pick=picks, offset=offsets, length=write_lengths, seed=seeds)
    def overwrite(self, pick: int, offset: int, length: int, seed: int) -> None:
        """A write in the middle of what is there already, wherever that is."""
        file = self._pick(pick)
        self.write(pick, [(min(offset, max(0, len(file.data) - length)), length)], seed)

    @precondition(lambda self: self.tree.names or self.nameless)
    @rule(pick=picks, size=offsets)
    def truncate(self, pick: int, size: int) -> None:
        file = self._pick(pick)
        self._do("truncate", file.inode, size)
        del file.data[size:]
        file.data += bytes(size - len(file.data))
        self.changed.add(id(file))

    @precondition(lambda self: self.tree.names or self.nameless)
    @rule(pick=picks, offset=offsets, length=lengths)
    def deallocate(self, pick: int, offset: int, length: int) -> None:
        file = self._pick(pick)
        self._do("deallocate", file.inode, offset, length)
        end = min(offset + length, len(file.data))
        if offset < end:
            file.data[offset:end] = bytes(end - offset)
        self.changed.add(id(file))

    # Pins

    @precondition(lambda self: (self.tree.names or self.nameless) and len(self.pins) < 6)
    @rule(pick=picks, offset=offsets, length=lengths)
    def capture(self, pick: int, offset: int, length: int) -> None:
        file = self._pick(pick)
        pin = self._do("capture", file.inode, offset, length)
        held = _captured(file, offset, length)
        assert pin.length == len(held)
        assert not (pin.is_hole and any(held))
        self.pins.append((pin, held))

    @precondition(lambda self: self.pins and (self.tree.names or self.nameless))
    @rule(which=picks, pick=picks, offset=offsets, pin_offset=offsets, length=lengths)
    def write_pin(self, which: int, pick: int, offset: int, pin_offset: int, length: int) -> None:
        pin, held = self.pins[which % len(self.pins)]
        if pin_offset >= len(held):
            pin_offset = 0
        self._write_pin(pin, held, self._pick(pick), offset, pin_offset, length)

    def _write_pin(
        self, pin: Pin, held: bytes, file: File, offset: int, pin_offset: int, length: int
    ) -> None:
        data = held[pin_offset : pin_offset + length]
        shared = self._do("write_pin", file.inode, offset, pin, pin_offset, length)
        assert 0 <= shared <= len(data)
        if data:
            file.write(offset, data)
        self.changed.add(id(file))

    @precondition(lambda self: self.pins and (self.tree.names or self.nameless))
    @rule(which=picks, pick=picks, at=st.sampled_from([0, LEAF_BYTES, 2 * LEAF_BYTES]))
    def write_pin_aligned(self, which: int, pick: int, at: int) -> None:
        """The usual offload write: all of the token, at the same alignment."""
        pin, held = self.pins[which % len(self.pins)]
        self._write_pin(pin, held, self._pick(pick), at + pin.offset % LEAF_BYTES, 0, len(held))

    @precondition(lambda self: self.pins)
    @rule(which=picks)
    def release_pin(self, which: int) -> None:
        pin, _held = self.pins.pop(which % len(self.pins))

        async def release() -> None:
            self.pool.release_pin(pin)

        self.portal.call(release)

    @precondition(lambda self: self.tree.names or self.nameless)
    @rule(
        source=picks,
        destination=picks,
        source_offset=offsets,
        offset=offsets,
        length=lengths,
        aligned=st.booleans(),
    )
    def clone_range(
        self, source: int, destination: int, source_offset: int, offset: int, length: int, aligned: bool
    ) -> None:
        there, here = self._pick(source), self._pick(destination)
        if aligned:
            offset = offset // LEAF_BYTES * LEAF_BYTES + source_offset % LEAF_BYTES
        if there is here and abs(source_offset - offset) < length:
            return
        data = _captured(there, source_offset, length)
        self._do("clone_range", there.inode, source_offset, here.inode, offset, length)
        if data:
            here.write(offset, data)
        self.changed.add(id(here))

    # Durability

    @rule()
    def commit(self) -> None:
        self.portal.call(self._commit)
        self._note_commit()

    @rule(crashing=st.booleans())
    def restart(self, crashing: bool) -> None:
        if crashing:
            self._crash()
        else:
            self._reopen()

    def _reopen(self) -> None:
        """Leave in order and come back: everything is there, pins and nameless files are not."""
        self._close()
        self._open()
        self._note_commit()
        self._forget_what_is_not_durable()

    def _crash(self) -> None:
        """Go on with a copy of what is on the disk: everything since the last commit never happened."""
        crashed = self.directory
        self.directory = self.workspace / f"pool-{int(crashed.name[5:]) + 1}"
        subprocess.run(["cp", "-r", "--sparse=always", crashed, self.directory], check=True)
        self._close()
        shutil.rmtree(crashed)
        self._open()
        files = {key: File(bytearray(data), None) for key, data in self.committed.values()}
        self.tree = Tree({name: files[key] for name, (key, _data) in self.committed.items()})
        self._forget_what_is_not_durable()
        self._note_commit()

    def _close(self) -> None:
        self.portal.call(self._allow_commits)
        self.portal.close_pool(self.opened)

    def _forget_what_is_not_durable(self) -> None:
        self.pins.clear()
        self.nameless.clear()
        for name, file in self.tree.names.items():
            file.holds = 0
            file.inode = self._do("lookup", self.volume.root, name)
            self.changed.add(id(file))
        listed = self._do("list_directory", self.volume.root)
        assert sorted(entry.name for entry in listed) == sorted(self.tree.names)

    # What must hold after each step

    @invariant()
    def the_volume_is_consistent(self) -> None:
        assert self.portal.call(self.pool.check) == []

    @invariant()
    def files_hold_what_was_written(self) -> None:
        for file in [*dict.fromkeys(self.tree.names.values()), *self.nameless]:
            assert file.inode.size == len(file.data)
            if id(file) in self.changed:
                self._compare(file)
        self.changed.clear()

    @invariant()
    def pins_hold_what_was_captured(self) -> None:
        if self.pins:
            pin, held = self.pins[len(self.committed) % len(self.pins)]
            assert bytes(self.portal.call(self.pool.read_pin, pin, 0, len(held))) == held

    def _compare(self, file: File) -> None:
        # One read per part: reads go through different paths by their length.
        parts = [(0, 100_000), (100_000, LEAF_BYTES - 3), (LEAF_BYTES - 3, len(file.data))]
        for start, end in parts:
            found = self._do("read", file.inode, start, max(end - start, 1) + 7)
            assert bytes(found) == file.data[start : max(end, start + 1) + 7], f"differs in [{start}, {end})"
        covered = bytearray(file.data)
        for offset, length in self._do("allocated_ranges", file.inode, 0, max(len(file.data), 1)):
            covered[offset : offset + length] = bytes(length)
        assert not covered.strip(b"\0"), "data in what is reported as a hole"

    def teardown(self) -> None:
        try:
            for pin, held in self.pins:
                assert bytes(self.portal.call(self.pool.read_pin, pin, 0, len(held))) == held
        finally:
            self._close()
            self.portal.__exit__()
            shutil.rmtree(self.workspace)


def _captured(file: File, offset: int, length: int) -> bytes:
    """What a pin should hold: clipped at the end of file, rounded up to a block, zeros behind the end."""
    end = min(offset + length, -(-len(file.data) // BLOCK_BYTES) * BLOCK_BYTES)
    if end <= offset:
        return b""
    data = bytes(file.data[offset:end])
    return data + bytes(end - offset - len(data))


def test_the_volume_behaves_like_its_model() -> None:
    run_state_machine_as_test(
        VolumeMachine,
        settings=settings(
            max_examples=EXAMPLES or 60,
            stateful_step_count=40,
            derandomize=not EXAMPLES,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
