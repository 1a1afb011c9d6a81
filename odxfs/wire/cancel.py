"""SMB2 CANCEL (MS-SMB2 2.2.30). It has no response: the cancelled command answers."""

from dataclasses import dataclass

from odxfs.wire.empty import EmptyBody


@dataclass(frozen=True, slots=True)
class CancelRequest(EmptyBody):
    """Give up the command that the header's MessageId or AsyncId names."""
