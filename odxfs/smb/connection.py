"""One TCP connection: bytes in, requests out to handlers, replies back (MS-SMB2 3.3.1.7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uuid import UUID

    from odxfs.smb.server import SmbServer
    from odxfs.smb.sessions import Session


class Connection:
    """`protocol` is the sans-IO state (dialect, keys, credits). The client's NEGOTIATE values are kept for VALIDATE_NEGOTIATE."""

    server: SmbServer
    sessions: dict[int, Session]
    dialect: int
    client_guid: UUID
    client_capabilities: int
    client_security_mode: int
    client_dialects: tuple[int, ...]
    server_capabilities: int
    server_security_mode: int
    local_address: tuple[str, int]
    peer_address: tuple[str, int]
    supports_multi_credit: bool

    def abort(self, reason: str) -> None:
        """Drop the connection at once, without a reply (what VALIDATE_NEGOTIATE does on a mismatch)."""
