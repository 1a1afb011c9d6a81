"""Local programs beside clients of the share that cache: who uses a file here makes them give that up (MS-FSA 2.1.4.12).

A local open stands in the open table, and no client caches writes of a file that somebody else has open. So only an open, and
what needs none, has to wait for a client; reads and writes through an open never do. The wait ends when the client has answered
or has not in time, which is the server's to see to.
"""

import trio

from odxfs.opens import OpenTable, Use, when_all_settled
from odxfs.opens.caching import MAX_ROUNDS
from odxfs.opens.share_modes import FILE_SHARE_ALL
from odxfs.types import InodeNumber


async def give_way(opens: OpenTable, number: InodeNumber, use: Use, *, access: int = 0) -> None:
    """Wait until no client caches what `use` ends. Where sharing forbids `access`, those that only cache their open close it."""
    for _ in range(MAX_ROUNDS):
        unshared = access and not opens.check(number, access, FILE_SHARE_ALL)
        waited_for = opens.grants.contend(number, Use.OPEN_UNSHARED if unshared else use)
        if not waited_for:
            return
        event = trio.Event()
        withdraw = when_all_settled(waited_for, event.set)
        try:
            await event.wait()
        finally:
            withdraw()


def changed(opens: OpenTable, number: InodeNumber) -> None:
    """An open file is about to change: no client reads its own copy any more."""
    opens.grants.contend(number, Use.CHANGE)


def folders_changed(opens: OpenTable, *folders: InodeNumber) -> None:
    """Names in these folders have changed: no client lists them from memory any more."""
    for folder in folders:
        opens.grants.contend(folder, Use.CHANGE_FOLDER)
