"""Records of opens that outlive a server name inodes that are there."""

from odxfs.volume.catalog.interface import Table
from odxfs.volume.catalog.overlay import CatalogView
from odxfs.volume.catalog.sound import CatalogReader, all_rows
from odxfs.volume.checking.findings import Findings


async def check_persistent_opens(view: CatalogReader, findings: Findings) -> None:
    """Find the records whose inode is missing."""
    for identifier, number in await _without_inode(view):
        where = f"persistent open {identifier}"
        findings.add("persistent open", f"{where} is of inode {number}, which is not in use", where)


async def drop_persistent_opens(view: CatalogView) -> None:
    """Delete them: nobody can come back for such an open."""
    for identifier, _ in await _without_inode(view):
        view.delete(Table.PERSISTENT_OPEN, (identifier,))


async def _without_inode(view: CatalogReader) -> list[tuple[int, int]]:
    return [
        (identifier, number)
        async for (identifier,), (number, _body) in all_rows(view, Table.PERSISTENT_OPEN)
        if await view.get(Table.INODE, (number,)) is None
    ]
