"""Quotas: what the files of a volume may allocate.

A volume is charged with the blocks that its files name, a block that two of them share with both; so a clone costs as much of
the quota as a copy, and no sharing gets around it. What only snapshots and tokens hold, names and attributes are not charged.
A quota below what is allocated already takes nothing away: only growth is refused.
"""

from collections import Counter

from odxfs.errors import QuotaExceeded
from odxfs.types import BLOCK_BYTES, VolumeId


class Quotas:
    """The quotas of a pool's volumes in memory; `VolumeRecord.quota_blocks` keeps them."""

    def __init__(self, allocated_blocks: Counter[VolumeId]) -> None:
        self._allocated = allocated_blocks
        self.limits: dict[VolumeId, int] = {}
        """Blocks, of volumes that have a quota."""

    def set(self, volume: VolumeId, blocks: int) -> None:
        """Give a volume a quota, or none (0)."""
        if blocks:
            self.limits[volume] = blocks
        else:
            self.limits.pop(volume, None)

    def left_blocks(self, volume: VolumeId) -> int | None:
        """What the volume may still allocate; None without a quota."""
        limit = self.limits.get(volume)
        return None if limit is None else max(0, limit - self._allocated[volume])

    def require(self, volume: VolumeId, growth: int) -> None:
        """Raise QuotaExceeded when a change by `growth` blocks, in the step that follows, would pass the quota."""
        limit = self.limits.get(volume)
        if limit is not None and growth > 0 and self._allocated[volume] + growth > limit:
            raise QuotaExceeded(f"the volume's quota of {limit * BLOCK_BYTES} bytes is used up")
