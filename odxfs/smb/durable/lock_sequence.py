"""LOCK requests that are sent again are answered and not done twice (MS-SMB2 3.3.5.14)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from odxfs.wire.negotiate import Capabilities, Dialect

if TYPE_CHECKING:
    from odxfs.smb.connection import Connection
    from odxfs.smb.opens import SmbOpen
    from odxfs.wire.lock import LockRequest

LAST_INDEX = 64
"""LockSequenceArray's entries, from 1 on; the specification's number, which clients go by."""


def is_replayed(opened: SmbOpen, request: LockRequest, connection: Connection) -> bool:
    """Whether the last LOCK of this index, which succeeded, was the very same. Else the index is free from here on."""
    known = opened.lock_sequences
    if known is None or not _is_kept(opened, connection):
        return False
    number = known.get(request.lock_sequence_index)
    if number is None:
        return False
    if number == request.lock_sequence_number:
        return True
    del known[request.lock_sequence_index]
    return False


def note_done(opened: SmbOpen, request: LockRequest, connection: Connection) -> None:
    """The LOCK has succeeded."""
    if not 1 <= request.lock_sequence_index <= LAST_INDEX or not _is_kept(opened, connection):
        return
    if opened.lock_sequences is None:
        opened.lock_sequences = {}
    opened.lock_sequences[request.lock_sequence_index] = request.lock_sequence_number


def _is_kept(opened: SmbOpen, connection: Connection) -> bool:
    """For every open where several channels may bring the same request, else for those that outlive their connection."""
    several = connection.server_capabilities & Capabilities.MULTI_CHANNEL
    if several and connection.dialect >= Dialect.SMB_3_0:
        return True
    return opened.durability is not None and opened.durability.outlives_connection
