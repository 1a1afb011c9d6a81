"""Byte ranges of one file that have arrived at the other end. Pure."""

from bisect import bisect_right


class RangeSet:
    """Byte ranges; overlapping and touching ones become one. `total` is their length in bytes."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        self.total = 0

    def add(self, start: int, end: int) -> None:
        """Add the bytes from `start` up to, not including, `end`."""
        first = bisect_right(self._starts, start)
        if first and self._ends[first - 1] >= start:
            first -= 1
            start = self._starts[first]
        last = bisect_right(self._starts, end)
        if last > first:
            end = max(end, self._ends[last - 1])
        merged = sum(self._ends[first:last]) - sum(self._starts[first:last])
        self._starts[first:last] = [start]
        self._ends[first:last] = [end]
        self.total += end - start - merged

    def gaps(self, size: int) -> list[tuple[int, int]]:
        """The (offset, length) ranges below `size` that are not in the set, ascending."""
        edges = [0, *self._ends]
        return [
            (edge, start - edge)
            for edge, start in zip(edges, [*self._starts, size], strict=True)
            if start > edge
        ]

    def first_gap(self) -> int:
        """The lowest offset that is not in the set."""
        return self._ends[0] if self._starts and self._starts[0] == 0 else 0
