"""The largest numbers that a catalog has handed out: what the pool's counters must be beyond."""

from odxfs.types import INODE_VOLUME_SHIFT
from odxfs.volume.catalog.interface import Table, volume_of
from odxfs.volume.catalog.sound import CatalogReader, all_rows

_INODE_MASK = (1 << INODE_VOLUME_SHIFT) - 1

BOUNDS = {
    "next_inode": 1 << INODE_VOLUME_SHIFT - 1,
    "next_leaf": 1 << 50,
    "next_pin": 1 << 60,
    "next_cookie": 1 << 62,
    "next_volume": 1 << 62 - INODE_VOLUME_SHIFT,
    "next_snapshot": 1 << 60,
}
"""Counters that have come so far have not been counted up, but damaged."""


def is_number(counter: str, number: int) -> bool:
    """Whether a number can have been handed out by a counter, and leaves room for more."""
    return 0 < number < BOUNDS[counter] >> 1


def is_inode_number(number: int) -> bool:
    """Whether an inode can have this number: that of a volume, and one in it."""
    return is_number("next_volume", volume_of(number)) and is_number("next_inode", number & _INODE_MASK)


async def largest_numbers(view: CatalogReader) -> dict[str, int]:
    """By the name of its counter in PoolRow, the largest number in use, 0 for none."""
    inode = cookie = 0
    for table in (Table.INODE, Table.EXTENTS, Table.ORPHAN):
        async for (number, *_), _row in all_rows(view, table):
            inode = max(inode, number & _INODE_MASK)
    async for (_directory, listed), _row in all_rows(view, Table.LISTING):
        cookie = max(cookie, listed)
    return {
        "next_inode": inode,
        "next_leaf": await _largest(view, Table.LEAF),
        "next_pin": await _largest(view, Table.PIN),
        "next_cookie": cookie,
        "next_volume": await _largest(view, Table.VOLUME),
        "next_snapshot": await _largest(view, Table.SNAPSHOT),
    }


async def _largest(view: CatalogReader, table: Table) -> int:
    largest = 0
    async for (number,), _ in all_rows(view, table):
        largest = max(largest, number)
    return largest
