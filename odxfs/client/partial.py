"""What stands at the end of a partial copy, so that it can be gone on with: whose copy it is and how far it has come. Pure.

A partial file is the destination's bytes, filled up to whole blocks, and one block more, the record. So it is never as long
as the file it will be, and nothing has to be kept beside it.
"""

import hashlib
import json
import zlib
from dataclasses import asdict, dataclass
from typing import Self

from odxfs.types import BLOCK_BYTES, MAX_NAME_BYTES, Buffer

PARTIAL_SUFFIX = ".odxfs-partial"

RECORD_BYTES = BLOCK_BYTES

LONGEST_NAME = 256
"""Characters; one takes up to 12 bytes in a record."""

_DIGEST_CHARACTERS = 16

_MAGIC = b"odxfs-partial 1\n"


@dataclass(frozen=True, slots=True)
class PartialRecord:
    """`source` and `number`, both by `source_key`, name the source file; sizes and offsets are bytes. Below `reached` all has
    arrived and is stable."""

    source: str
    number: str
    size: int
    written_ns: int | None
    changed_ns: int | None
    reached: int = 0

    def is_of(self, other: Self) -> bool:
        """Whether both are of one source in one state."""
        return (self.source, self.number, self.size, self.written_ns, self.changed_ns) == (
            other.source,
            other.number,
            other.size,
            other.written_ns,
            other.changed_ns,
        )

    def places(self) -> set[int]:
        """The offsets at which the record, standing last, may be: the usual one, and its place while a copy is taken up again."""
        return {record_offset(self.size), self.reached}

    def pack(self) -> bytes:
        """One block."""
        text = json.dumps(asdict(self)).encode("ascii")
        body = _MAGIC + zlib.crc32(text).to_bytes(4, "big") + len(text).to_bytes(4, "big") + text
        if len(body) > RECORD_BYTES:
            raise ValueError("the source's name does not fit into a partial file's record")
        return body.ljust(RECORD_BYTES, b"\0")

    @classmethod
    def unpack(cls, block: Buffer) -> Self | None:
        """The record of a block that is one, None for anything else."""
        data = bytes(block)
        head = len(_MAGIC) + 8
        if len(data) != RECORD_BYTES or not data.startswith(_MAGIC):
            return None
        crc, length = data[head - 8 : head - 4], int.from_bytes(data[head - 4 : head], "big")
        text = data[head : head + length]
        if zlib.crc32(text).to_bytes(4, "big") != crc:
            return None
        try:
            record = cls(**json.loads(text))
            return record if record._is_sound() else None
        except (ValueError, TypeError, RecursionError):
            return None

    def _is_sound(self) -> bool:
        """Whether it can be one of ours, and not what somebody has made up: JSON has values of other kinds."""
        times = [time for time in (self.written_ns, self.changed_ns) if time is not None]
        numbers = [self.size, self.reached, *times]
        words = self.source, self.number
        is_typed = all(type(word) is str for word in words) and all(type(number) is int for number in numbers)
        return is_typed and 0 <= self.reached <= self.size


def partial_name(name: str) -> str:
    """What the partial file of a destination called `name` is called: a digest stands for the end of a name that is too long."""
    if len(_encoded(name + PARTIAL_SUFFIX)) <= MAX_NAME_BYTES:
        return name + PARTIAL_SUFFIX
    end = f".{hashlib.sha256(_encoded(name)).hexdigest()[:_DIGEST_CHARACTERS]}{PARTIAL_SUFFIX}"
    count = len(name)
    while len(_encoded(name[:count] + end)) > MAX_NAME_BYTES:
        count -= 1
    return name[:count] + end


def _encoded(name: str) -> bytes:
    """As Linux has it; no server counts a name as longer than in UTF-8."""
    return name.encode("utf-8", "surrogateescape")


def source_key(name: str) -> str:
    """What stands for a name of the source in a record: a digest of one that could be too long for it."""
    if len(name) <= LONGEST_NAME:
        return name
    return hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()


def record_offset(size: int) -> int:
    """Where the record of a file of `size` bytes stands."""
    return -(-size // BLOCK_BYTES) * BLOCK_BYTES
