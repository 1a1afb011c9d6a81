"""Tokens of other pools: what the engine asks for when it is given one."""

from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from odxfs.offload.rules import OffloadParty, WriteCall


@dataclass(frozen=True, slots=True)
class ForeignCopy:
    """What became of one call, in bytes: `written` is what the destination now has, `moved` what was fetched for it."""

    peer: str
    written: int
    moved: int


class ForeignTokens(Protocol):
    """Brings the bytes of tokens that another pool has issued."""

    async def copy(self, issuer: UUID, party: OffloadParty, call: WriteCall, length: int) -> ForeignCopy:
        """Write at most `length` bytes (whole sectors) of a token of pool `issuer` where `call` says.

        The caller has checked rights, locks and range. In strict settings the end of file stays where it is, and the last
        partial sector counts as written whole; else the file may grow as far as the token's source reached. A short `written`,
        in whole sectors, is progress that the caller of the call goes on from. Raises OffloadRefused or VolumeError, but only
        when nothing was written.
        """
