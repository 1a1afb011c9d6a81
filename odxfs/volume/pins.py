"""Pins: what a token or a snapshot holds in the pool.

A pin is a list of leaf references and nothing else. It counts like any other holder of its leaves, so that whatever is
done to the file it was taken from, the leaves and their blocks stay. A commit writes the pins that are alive at that
moment; the next owner of the pool drops what it finds, so that no token costs an fsync and a crash leaves no debt.
"""

from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from odxfs.errors import InvalidArgument
from odxfs.types import LEAF_BYTES
from odxfs.volume.catalog.interface import Table
from odxfs.volume.catalog.overlay import CatalogView
from odxfs.volume.extents import LeafReference, LeafReferences, allocated_blocks


@dataclass(frozen=True, slots=True, eq=False)
class Pin:
    """A range of one file as it was at one moment. Two pins are equal when they are the same pin."""

    id: int
    offset: int
    """Where the range began in the file it was taken from, in bytes."""
    length: int
    """Bytes held; the range was clipped at the end of the file, rounded up to a whole block."""
    leaves: tuple[LeafReference, ...] = field(repr=False)
    """One reference for each 8 MiB window the range touches, in order; 0 where the window was a hole."""
    is_hole: bool
    """Whether the range holds no data at all: it reads as zeros and needs nothing from the pool."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pin) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    @property
    def most_allocated_blocks(self) -> int:
        """What its leaves allocate: all that the range can hold of them, known without a look at any."""
        return sum(allocated_blocks(reference) for reference in self.leaves)

    def leaf_at(self, window: int) -> LeafReference:
        """The reference for a window number of the source file."""
        return self.leaves[window - self.offset // LEAF_BYTES]


class Pins:
    """The pins that are alive, and what of them the catalog knows."""

    def __init__(self, references: LeafReferences) -> None:
        self._references = references
        self._alive: dict[int, Pin] = {}
        self._holds: Counter[LeafReference] = Counter()
        self._changed: set[int] = set()
        self._written: set[int] = set()
        self.released = 0
        """How many pins have been let go."""

    def __len__(self) -> int:
        return len(self._alive)

    def __contains__(self, pin: Pin) -> bool:
        return pin.id in self._alive

    def check(self, pin: Pin) -> None:
        """Raise InvalidArgument for a pin that was released: its leaves may be gone, or their file may have changed them."""
        if pin.id not in self._alive:
            raise InvalidArgument(f"pin {pin.id} has been released")

    def add(self, pin: Pin) -> None:
        """The pin holds its leaves from now on."""
        self._alive[pin.id] = pin
        self._changed.add(pin.id)
        for reference in _held(pin):
            self._references.hold(reference)
            self._holds[reference] += 1

    def release(self, pin: Pin) -> None:
        """The pin holds nothing any more. Without effect when it was released before."""
        if self._alive.pop(pin.id, None) is None:
            return
        self.released += 1
        self._changed.add(pin.id)
        for reference in _held(pin):
            self._references.drop(reference)
            self._holds[reference] -= 1
            if not self._holds[reference]:
                del self._holds[reference]

    def alone(self, pin: Pin) -> dict[LeafReference, int]:
        """The leaves of the pin that no file and no snapshot names any more, with the blocks that each allocates.

        Blocks that a changed copy of such a leaf still shares with it are among them.
        """
        if pin.id not in self._alive:
            return {}
        return {
            reference: allocated_blocks(reference) for reference in _held(pin) if self._is_alone(reference)
        }

    def exclusive_blocks(self, pin: Pin) -> int:
        """Allocated blocks of the pin's leaves that no file names any more."""
        return sum(self.alone(pin).values())

    def pinned_only_blocks(self) -> int:
        """The same of all pins together, each leaf counted once."""
        return sum(allocated_blocks(reference) for reference in self._holds if self._is_alone(reference))

    @property
    def has_changes(self) -> bool:
        """Whether pins were made or released since the last commit."""
        return bool(self._changed)

    def collect(self, view: CatalogView) -> None:
        """Put the pins alive at this moment into the view."""
        for identifier in self._changed:
            pin = self._alive.get(identifier)
            if pin is not None and not pin.is_hole:
                view.put(Table.PIN, (identifier,), (array("Q", _held(pin)).tobytes(),))
                self._written.add(identifier)
            elif identifier in self._written:
                view.delete(Table.PIN, (identifier,))
                self._written.discard(identifier)
        self._changed.clear()

    async def drop_old(self, view: CatalogView) -> int:
        """Let go what the pins of the last owner held; returns how many there were. Before any pin is made."""
        rows = await view.range(Table.PIN, (0,), (1 << 62,))
        for key, (body,) in rows:
            assert isinstance(body, bytes)
            for reference in array("Q", body):
                self._references.drop(LeafReference(reference))
            view.delete(Table.PIN, key)
        return len(rows)

    def _is_alone(self, reference: LeafReference) -> bool:
        return self._references.counts.get(reference, 1) == self._holds[reference]


def _held(pin: Pin) -> Iterator[LeafReference]:
    return filter(None, pin.leaves)
