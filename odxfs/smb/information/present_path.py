"""The path of an open as its share shows it now: local programs rename what it leads through without a word.

`SmbOpen.path` stays what clients know it by, who come back for it by that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from odxfs.smb.paths import SEPARATOR, wire_name

if TYPE_CHECKING:
    from odxfs.opens import OpenTable
    from odxfs.smb.opens import SmbOpen
    from odxfs.smb.trees import View
    from odxfs.types import InodeNumber


async def present_path(opens: OpenTable, opened: SmbOpen) -> str:
    """From the share's root, without a separator in front or a stream's name (MS-FSA 2.1.5.12: by Open.Link).

    As it was opened where no way leads there any more. Asks the catalog only where anything has got another name since.
    """
    if opened.parent is not None and not opened.is_previous_version:
        while opened.seen_renames != opens.renames:
            seen = opens.renames
            opened.moved_path = await _way(opened.view, opened.parent, opened.name)
            opened.seen_renames = seen
    return opened.path if opened.moved_path is None else opened.moved_path


async def _way(view: View, directory: InodeNumber, name: bytes) -> str | None:
    """The path of a directory's entry; None outside the share's root, or where a folder on the way is removed."""
    path = wire_name(name)
    while directory != view.root:
        names = await view.volume.names_of(directory)
        if not names:
            return None
        directory, name = names[0]
        path = f"{wire_name(name)}{SEPARATOR}{path}"
    return path
