"""Requests of a channel that was lost must not overtake those that were sent again (MS-SMB2 3.3.5.2.10).

A client counts its channel failures in the ChannelSequence of each request. The check is entered only where that number is
not the one that the open was last used with (`SmbOpen.checked_sequence`), so that a client which never loses a channel pays
one comparison a request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from odxfs.wire.header import Command, HeaderFlags
from odxfs.wire.negotiate import Dialect

if TYPE_CHECKING:
    from odxfs.smb.opens import SmbOpen
    from odxfs.smb.request import RequestContext

UNCHECKED = -1
"""A value of `checked_sequence` that no request has: the next one is looked at."""

_SEQUENCE = 0xFFFF
_NEWEST_AHEAD = 0x7FFF
_CHANGING = frozenset({Command.WRITE, Command.SET_INFO, Command.IOCTL})


def sequence_of(context: RequestContext) -> int:
    """The ChannelSequence of a request; 0 before dialect 3.0, which has none."""
    return context.header.status & _SEQUENCE if context.connection.dialect >= Dialect.SMB_3_0 else 0


def is_in_sequence(context: RequestContext, opened: SmbOpen) -> bool:
    """Note that `opened` is used by this request; False for a change that came too late or too early: FILE_NOT_AVAILABLE.

    Too late: its channel had been lost when it was sent. Too early: it is sent again while requests from before the loss
    are still at work.
    """
    context.server.durable.note_use(opened)
    if context.connection.dialect < Dialect.SMB_3_0:
        opened.checked_sequence = context.header.status
        return True
    changing = context.header.command in _CHANGING
    ahead = (sequence_of(context) - opened.channel_sequence) & _SEQUENCE
    if ahead > _NEWEST_AHEAD:
        return not changing
    opened.channel_sequence = sequence_of(context)
    if not _earlier_ones_run(context, opened):
        opened.checked_sequence = context.header.status
        return True
    opened.checked_sequence = UNCHECKED
    return not (changing and context.header.flags & HeaderFlags.REPLAY)


def any_left_at_work(opened: SmbOpen) -> bool:
    """Whether a request of the session that the open was lost with is still at work on it."""
    durability = opened.durability
    return durability is not None and any(other.open is opened for other in durability.left_at_work.values())


def _earlier_ones_run(context: RequestContext, opened: SmbOpen) -> bool:
    """Whether a request of another ChannelSequence is at work on the open, or one of a session that it was lost with."""
    return any_left_at_work(opened) or any(
        other.open is opened and sequence_of(other) != opened.channel_sequence
        for other in opened.session.running.values()
        if other is not context
    )
