"""What statfs(2) and FileFsFullSizeInformation say about a volume."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from odxfs.types import BLOCK_BYTES, MAX_NAME_BYTES

if TYPE_CHECKING:
    from odxfs.volume.pool import Pool


@dataclass(frozen=True, slots=True)
class Statfs:
    """Numbers of the moment; a volume may use all of its pool, and the pool all of the file system it lies on."""

    block_bytes: int
    blocks: int
    free_blocks: int
    inodes: int
    free_inodes: int
    """As many as there is room for: inodes come out of the free space."""
    max_name_bytes: int


def statfs(pool: "Pool") -> Statfs:
    """The pool's numbers in blocks."""
    statistics = pool.statistics()
    free_blocks = statistics.free_bytes // BLOCK_BYTES
    return Statfs(
        block_bytes=BLOCK_BYTES,
        blocks=statistics.capacity_bytes // BLOCK_BYTES,
        free_blocks=free_blocks,
        inodes=statistics.inodes + free_blocks,
        free_inodes=free_blocks,
        max_name_bytes=MAX_NAME_BYTES,
    )
