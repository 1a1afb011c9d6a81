"""Directory leases: a change of what a folder shows ends what others cache of it (MS-FSA 2.1.4.12 with PARENT_OBJECT).

The client that changes it knows, and says so by the key of its own lease on the folder. Nobody waits: the change is done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from odxfs.opens import Use
from odxfs.smb.caching.leases import Lease

if TYPE_CHECKING:
    from odxfs.opens import Grant
    from odxfs.smb.opens import SmbOpen
    from odxfs.smb.server import SmbServer
    from odxfs.types import InodeNumber


def folder_changed(server: SmbServer, folder: InodeNumber | None, by: SmbOpen | None = None) -> None:
    """Break the leases on `folder`, None for what the root of a share is in, for a change through `by` if that is open."""
    if folder is not None and server.opens.cached:
        server.opens.grants.contend(folder, Use.CHANGE_FOLDER, _own(server, by))


def entry_changed(server: SmbServer, by: SmbOpen) -> None:
    """The same for the folder that `by` was opened in, whose listing shows its size and times."""
    folder_changed(server, by.parent, by)


def _own(server: SmbServer, by: SmbOpen | None) -> Grant | None:
    holder = by.grant.holder if by is not None and by.grant is not None else None
    if not isinstance(holder, Lease) or holder.parent_key is None:
        return None
    lease = server.leases.find(holder.client_guid, holder.parent_key)
    return lease.grant if lease is not None else None
