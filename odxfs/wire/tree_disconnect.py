"""SMB2 TREE_DISCONNECT (MS-SMB2 2.2.11, 2.2.12)."""

from dataclasses import dataclass

from odxfs.wire.empty import EmptyBody


@dataclass(frozen=True, slots=True)
class TreeDisconnectRequest(EmptyBody):
    """Leave the tree of the header."""


@dataclass(frozen=True, slots=True)
class TreeDisconnectResponse(EmptyBody):
    """The tree is left and its opens are closed."""
