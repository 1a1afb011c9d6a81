"""SMB2 ECHO (MS-SMB2 2.2.28, 2.2.29)."""

from dataclasses import dataclass

from odxfs.wire.empty import EmptyBody


@dataclass(frozen=True, slots=True)
class EchoRequest(EmptyBody):
    """Are you there."""


@dataclass(frozen=True, slots=True)
class EchoResponse(EmptyBody):
    """Yes."""
