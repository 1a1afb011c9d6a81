"""What statfs(2) and FileFsFullSizeInformation say about a volume."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from odxfs.types import BLOCK_BYTES, MAX_NAME_BYTES, VolumeId

if TYPE_CHECKING:
    from odxfs.volume.pool import Pool


@dataclass(frozen=True, slots=True)
class Statfs:
    """Numbers of the moment; a volume may use all of its pool, but for a quota, and the pool all of the file system below."""

    block_bytes: int
    blocks: int
    """The quota, where there is one and the pool is not smaller."""
    free_blocks: int
    """What can be written: what is left of the quota, if the pool has that."""
    pool_free_blocks: int
    """What all volumes together can write."""
    inodes: int
    free_inodes: int
    """As many as there is room for in the pool: inodes come out of its free space, and are not charged to a quota."""
    max_name_bytes: int


def statfs(pool: "Pool", volume: VolumeId) -> Statfs:
    """The volume's numbers in blocks."""
    statistics = pool.statistics()
    blocks, pool_free = statistics.capacity_bytes // BLOCK_BYTES, statistics.free_bytes // BLOCK_BYTES
    free = pool_free
    left = pool.windows.quotas.left_blocks(volume)
    if left is not None:
        blocks, free = min(blocks, pool.windows.quotas.limits[volume]), min(free, left)
    return Statfs(
        block_bytes=BLOCK_BYTES,
        blocks=blocks,
        free_blocks=free,
        pool_free_blocks=pool_free,
        inodes=statistics.inodes + pool_free,
        free_inodes=pool_free,
        max_name_bytes=MAX_NAME_BYTES,
    )
