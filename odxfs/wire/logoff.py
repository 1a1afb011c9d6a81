"""SMB2 LOGOFF (MS-SMB2 2.2.7, 2.2.8)."""

from dataclasses import dataclass

from odxfs.wire.empty import EmptyBody


@dataclass(frozen=True, slots=True)
class LogoffRequest(EmptyBody):
    """End the session of the header."""


@dataclass(frozen=True, slots=True)
class LogoffResponse(EmptyBody):
    """The session has ended."""
