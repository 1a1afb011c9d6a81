"""Whether a copy can go by token, or by COPYCHUNK, at all, judged before anything is asked of a server. Pure."""

from dataclasses import dataclass
from enum import Enum

from odxfs.client.explain import MIN_CHUNK_BYTES, MIN_OFFLOAD_BYTES, Cause, ChunkCause
from odxfs.wire.negotiate import Dialect


class Wish(Enum):
    """What the user wants: tokens where possible, nothing but tokens, or none."""

    AUTO = "auto"
    REQUIRED = "required"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class CopyOptions:
    """How a file is to be copied."""

    wish: Wish = Wish.AUTO
    resume: bool = False
    """Keep what a failed copy has reached, and go on from there the next time."""
    verify: bool = False
    """Read both files back and compare."""


@dataclass(frozen=True, slots=True)
class Side:
    """One end of a copy. `dialect` is 0 for a local file; `mount` is the odxfs mount that such a one lies on, if any."""

    dialect: int = 0
    mount: int | None = None

    @property
    def is_local(self) -> bool:
        return not self.dialect


def cause_against_tokens(source: Side, destination: Side, size: int, wish: Wish) -> Cause | None:
    """Why not to try tokens, or None to try. `size` is the source's, in bytes."""
    if wish is Wish.OFF:
        return Cause.NOT_WANTED
    if source.is_local or destination.is_local:
        if source.mount is None or source.mount != destination.mount:
            return Cause.LOCAL_FILE
    elif min(source.dialect, destination.dialect) < Dialect.SMB_3_0:
        return Cause.DIALECT_TOO_OLD
    if size < MIN_OFFLOAD_BYTES:
        return Cause.FILE_TOO_SMALL
    return None


def cause_against_chunks(
    source: Side, destination: Side, left_bytes: int, wish: Wish, *, same_session: bool
) -> ChunkCause | None:
    """Why not to try COPYCHUNK for what tokens have left, or None to try."""
    if wish is Wish.OFF:
        return ChunkCause.NOT_WANTED
    if source.is_local or destination.is_local:
        return ChunkCause.LOCAL_FILE
    if not same_session:
        return ChunkCause.OTHER_SERVER
    if left_bytes < MIN_CHUNK_BYTES:
        return ChunkCause.FILE_TOO_SMALL
    return None
