"""LastWriteTime after a client has set it: what it changes through the same open leaves it alone (MS-FSA 2.1.5.15.2).

Programs that copy set a file's times before they close it, and their client's cache writes the rest after that.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from odxfs.smb.opens import SmbOpen


@contextmanager
def kept_write_time(opened: SmbOpen) -> Iterator[None]:
    """Around a change of bytes or of the size through `opened`: the time is what it was before, if the client has set it."""
    if not opened.keeps_write_time:
        yield
        return
    kept = opened.file_inode.mtime_ns
    try:
        yield
    finally:
        opened.volume.keep_mtime(opened.file_inode, kept)
