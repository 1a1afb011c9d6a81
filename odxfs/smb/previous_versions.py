"""Previous versions: the snapshots of a share's volume, as SMB clients name them (MS-SMB2 2.2.13.2.7, 3.3.5.9.4, 3.3.5.15.1).

A client names a snapshot by the second it was made in, as a @GMT token anywhere in a path or as a TWrp create context. The one
rule: that is the second of its `created_ns`, of which a volume never has two snapshots (`Snapshots.freeze` sees to it). So a
name means one snapshot until that is deleted, whatever becomes of the others and however often the server is started.
The folder `.snapshots` is the mount's; no share has it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from odxfs.errors import NotADirectory, NotFound
from odxfs.ntstatus import Status
from odxfs.smb.paths import SEPARATOR, share_root
from odxfs.smb.request import SmbError
from odxfs.smb.trees import View
from odxfs.wire.fscc.filetime import to_ns
from odxfs.wire.gmt_token import format_gmt_token, is_gmt_token, parse_gmt_token

if TYPE_CHECKING:
    from odxfs.smb.security.token import Token
    from odxfs.smb.trees import Tree
    from odxfs.volume import Snapshot, Volume
    from odxfs.wire.fscc.filetime import Filetime

NANOSECONDS = 1_000_000_000


def tokens_of(volume: Volume) -> tuple[str, ...]:
    """The @GMT tokens of the volume's snapshots, newest first. Raises NotFound for a volume that has been deleted."""
    snapshots = volume.pool.snapshots.of(volume.name)
    return tuple(format_gmt_token(second) for second in sorted(map(_second, snapshots), reverse=True))


async def view_of(tree: Tree, path: str, timestamp: Filetime | None, token: Token) -> tuple[View, str]:
    """What a path and the time of a TWrp context lead through, and the path without the @GMT token.

    Now where neither says otherwise. Cost: a look at each snapshot of the volume. SmbError: OBJECT_NAME_NOT_FOUND when there is
    no snapshot of exactly that second, when two moments are named, and when the share's folder was not there.
    """
    names = path.split(SEPARATOR)
    tokens = [name for name in names if is_gmt_token(name)]
    if tokens and not names[0]:
        raise SmbError(Status.INVALID_PARAMETER, "a path begins with a name (3.3.5.9)")
    moments = {parse_gmt_token(token) for token in tokens}
    if timestamp is not None:
        moments.add(to_ns(timestamp) // NANOSECONDS)
    if not moments:
        return tree.view, path
    if len(moments) > 1 or len(tokens) > 1:
        raise SmbError(Status.OBJECT_NAME_NOT_FOUND, "a path names more than one moment")
    view = await _view_at(tree, moments.pop(), token)
    return view, SEPARATOR.join(name for name in names if not is_gmt_token(name))


def names_previous_version(path: str) -> bool:
    """Whether a path has a @GMT token in it."""
    return any(is_gmt_token(name) for name in path.split(SEPARATOR))


async def _view_at(tree: Tree, second: int | None, token: Token) -> View:
    """The share as the snapshot of that second holds it; None is no second."""
    volume = tree.view.volume
    try:
        snapshot = _find(volume, second)
        seen = volume.pool.snapshot_volume(volume.name, snapshot.name, volume.origin)
        return View(seen, await share_root(seen, tree.share.path, token))
    except (NotFound, NotADirectory) as error:
        raise SmbError(Status.OBJECT_NAME_NOT_FOUND, str(error)) from error


def _find(volume: Volume, second: int | None) -> Snapshot:
    for snapshot in volume.pool.snapshots.of(volume.name):
        if _second(snapshot) == second:
            return snapshot
    raise NotFound(f"volume {volume.name} has no snapshot of that second")


def _second(snapshot: Snapshot) -> int:
    return snapshot.created_ns // NANOSECONDS
