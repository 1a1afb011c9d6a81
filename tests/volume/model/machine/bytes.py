"""Rules about the bytes of files, pins and clones."""

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from odxfs.types import BLOCK_BYTES, LEAF_BYTES
from tests.volume.model.machine.base import Machine, lengths, offsets, picks, seeds, write_lengths

_PINS = 4
_blocks = st.integers(0, 11)
"""Few, so that the same ones are met again."""


class ByteRules(Machine):
    """Write, truncate, deallocate; capture, let appear elsewhere, release."""

    @rule(pick=picks, writes=st.lists(st.tuples(offsets, write_lengths), min_size=1, max_size=3), seed=seeds)
    def write(self, pick: int, writes: list[tuple[int, int]], seed: int) -> None:
        node = self.file(pick)
        for number, (offset, length) in enumerate(writes):
            self.run(self.subject.write(node, offset, self.data(seed + number, length)))

    @rule(pick=picks, offset=offsets, length=write_lengths, seed=seeds)
    def overwrite(self, pick: int, offset: int, length: int, seed: int) -> None:
        """A write in the middle of what is there already, wherever that is."""
        node = self.file(pick)
        offset = min(offset, max(0, node.content.size - length))
        self.run(self.subject.write(node, offset, self.data(seed, length)))

    @rule(
        pick=picks,
        base=st.sampled_from([0, LEAF_BYTES]),
        blocks=st.lists(_blocks, min_size=1, max_size=10),
        seed=seeds,
    )
    def write_blocks(self, pick: int, base: int, blocks: list[int], seed: int) -> None:
        """Whole blocks here and there, again and again, as a virtual machine writes to its disk."""
        node = self.file(pick)
        for number, block in enumerate(blocks):
            data = self.data(seed + number, BLOCK_BYTES)
            self.run(self.subject.write(node, base + block * BLOCK_BYTES, data))

    @rule(pick=picks, size=offsets)
    def truncate(self, pick: int, size: int) -> None:
        self.run(self.subject.truncate(self.file(pick), size))

    @rule(pick=picks, offset=offsets, length=lengths)
    def deallocate(self, pick: int, offset: int, length: int) -> None:
        self.run(self.subject.deallocate(self.file(pick), offset, length))

    @precondition(lambda self: len(self.pins) < _PINS)
    @rule(pick=picks, offset=offsets, length=lengths)
    def capture(self, pick: int, offset: int, length: int) -> None:
        self.pins.append(self.run(self.subject.capture(self.file(pick), offset, length)))

    @precondition(lambda self: self.pins)
    @rule(which=picks, pick=picks, offset=offsets, pin_offset=offsets, length=lengths)
    def write_pin(self, which: int, pick: int, offset: int, pin_offset: int, length: int) -> None:
        pin, held = self.pins[which % len(self.pins)]
        if pin_offset >= held.size:
            pin_offset = 0
        self.run(self.subject.write_pin(self.file(pick), offset, pin, held, pin_offset, length))

    @precondition(lambda self: self.pins)
    @rule(which=picks, pick=picks, at=st.sampled_from([0, LEAF_BYTES]))
    def write_pin_aligned(self, which: int, pick: int, at: int) -> None:
        """The usual offload write: all of it, at the same alignment."""
        pin, held = self.pins[which % len(self.pins)]
        offset = at + pin.offset % LEAF_BYTES
        self.run(self.subject.write_pin(self.file(pick), offset, pin, held, 0, held.size))

    @precondition(lambda self: self.pins)
    @rule(which=picks)
    def release_pin(self, which: int) -> None:
        pin, _ = self.pins.pop(which % len(self.pins))

        async def release() -> None:
            self.pool.release_pin(pin)

        self.run(release())

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
        there, here = self.file(source), self.file(destination)
        if aligned:
            offset = offset // LEAF_BYTES * LEAF_BYTES + source_offset % LEAF_BYTES
        if there is not here or abs(source_offset - offset) >= length:
            self.run(self.subject.clone_range(there, source_offset, here, offset, length))
