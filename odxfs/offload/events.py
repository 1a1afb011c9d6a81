"""What happened in one call that shares extents, for traces and for people."""

from dataclasses import dataclass

from odxfs.offload.counters import Mechanism


@dataclass(frozen=True, slots=True)
class OffloadEvent:
    """One call, served or refused; lengths in bytes, `seconds` by the engine's clock.

    `call` is "read" for one that made a token, "write" for one that made data appear. `volume`, `inode` and `offset` are those of
    the file the call was made on; `source` says where the data comes from, as far as it is known. `logical_bytes` is what the
    caller was told, `moved_bytes` what was really moved for it: 0 when extents were shared. `reason` is empty for success.
    `peer` is the server that the data came from, empty for this one. `path` is the file's in its volume, if known.
    """

    mechanism: Mechanism
    call: str
    svm: str
    share: str
    owner: str
    client: str
    volume: str
    inode: int
    offset: int
    length: int
    source: str
    token: str
    logical_bytes: int
    moved_bytes: int
    status: int
    reason: str
    seconds: float
    peer: str = ""
    path: str = ""
