"""Sparse bytes: what a file holds, kept as the chunks that are not zero, so that copies and comparisons are cheap."""

from collections.abc import Iterator

CHUNK_BYTES = 4096
_ZEROS = bytes(CHUNK_BYTES)


class Content:
    """`size` bytes, zeros where nothing was written. Two contents are equal when all their bytes are."""

    __slots__ = ("chunks", "size")

    def __init__(self, size: int = 0) -> None:
        self.size = size
        self.chunks: dict[int, bytes] = {}
        """Chunk number -> its bytes, never all zeros, zeros past the size."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Content) and self.size == other.size and self.chunks == other.chunks

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<Content of {self.size} bytes, data in chunks {sorted(self.chunks)[:8]}>"

    def copy(self) -> "Content":
        """The same bytes, to be changed by themselves."""
        twin = Content(self.size)
        twin.chunks = self.chunks.copy()
        return twin

    def write(self, offset: int, data: bytes | memoryview) -> None:
        """Replace bytes; grows as needed."""
        view, done = memoryview(data), 0
        while done < len(view):
            number, start = divmod(offset + done, CHUNK_BYTES)
            piece = view[done : done + CHUNK_BYTES - start]
            self._replace(number, start, piece)
            done += len(piece)
        if data:
            self.size = max(self.size, offset + len(data))

    def zero(self, offset: int, length: int) -> None:
        """Make a range zeros; the size stays."""
        end = offset + length
        for number in [n for n in self.chunks if n * CHUNK_BYTES < end and (n + 1) * CHUNK_BYTES > offset]:
            base = number * CHUNK_BYTES
            low, high = max(offset - base, 0), min(end - base, CHUNK_BYTES)
            self._replace(number, low, memoryview(_ZEROS)[: high - low])

    def resize(self, size: int) -> None:
        """Move the end."""
        if size < self.size:
            self.zero(size, self.size - size)
        self.size = size

    def read(self, offset: int, length: int) -> bytes:
        """The bytes of a range, clipped at the end."""
        end = min(offset + length, self.size)
        if end <= offset:
            return b""
        first, last = offset // CHUNK_BYTES, (end - 1) // CHUNK_BYTES
        whole = b"".join(self.chunks.get(number, _ZEROS) for number in range(first, last + 1))
        return whole[offset - first * CHUNK_BYTES : end - first * CHUNK_BYTES]

    def part(self, offset: int, length: int) -> "Content":
        """A range as a content of its own; zeros where it reaches past the end."""
        found = Content(length)
        for start, piece_length in self.runs(offset, offset + length):
            found.write(start - offset, self.read(start, piece_length))
        found.size = length
        return found

    def put(self, offset: int, other: "Content") -> None:
        """Replace `other.size` bytes by those of another content, holes included; grows as needed."""
        self.zero(offset, other.size)
        for start, length in other.runs(0, other.size):
            self.write(offset + start, other.read(start, length))
        if other.size:
            self.size = max(self.size, offset + other.size)

    def runs(self, low: int, high: int) -> Iterator[tuple[int, int]]:
        """(offset, length) of what is not a hole in [low, high), chunk by chunk joined, clipped at the end."""
        high = min(high, self.size)
        start = end = -1
        for number in sorted(self.chunks):
            begin, stop = max(number * CHUNK_BYTES, low), min((number + 1) * CHUNK_BYTES, high)
            if begin >= stop:
                continue
            if begin != end:
                if start >= 0:
                    yield start, end - start
                start = begin
            end = stop
        if start >= 0:
            yield start, end - start

    def _replace(self, number: int, start: int, piece: memoryview) -> None:
        if len(piece) == CHUNK_BYTES:
            chunk = bytes(piece)
        else:
            old = self.chunks.get(number, _ZEROS)
            chunk = b"".join((old[:start], piece, old[start + len(piece) :]))
        if chunk == _ZEROS:
            self.chunks.pop(number, None)
        else:
            self.chunks[number] = chunk
