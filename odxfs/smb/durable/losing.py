"""A client may be back before the loss of its old connection has been looked at: that has to come first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from odxfs.smb.durable.channel_sequence import any_left_at_work
from odxfs.smb.limits import LOSS_SECONDS

if TYPE_CHECKING:
    from odxfs.smb.opens import SmbOpen
    from odxfs.smb.request import RequestContext

_TURNS = 8
"""Turns of the event loop in which whatever has reached this machine before the request is seen: one for the socket, some for
the tasks that end with it."""


_LOOK_SECONDS = 0.01
"""How often is looked whether a request has ended."""


async def let_loss_happen(context: RequestContext, opened: SmbOpen | None) -> None:
    """Wait until an open is parked, or closed, whose connection has been lost before this request came, and until what its
    session had at work on it has ended: a write would land on what its client writes when it is back.

    Returns at once, or after a few turns of the event loop, where it has not been lost.
    """
    if opened is not None:
        await _let_park(context, opened)
        await _let_end(opened)


async def _let_end(opened: SmbOpen) -> None:
    with trio.move_on_after(LOSS_SECONDS):
        while opened.is_parked and any_left_at_work(opened):
            await trio.sleep(_LOOK_SECONDS)


async def _let_park(context: RequestContext, opened: SmbOpen) -> None:
    for _ in range(_TURNS):
        if opened.is_parked or opened.closed or opened.session is context.session:
            return
        if all(channel.is_ending for channel in opened.session.channels):
            break
        await trio.lowlevel.checkpoint()
    else:
        return
    with trio.move_on_after(LOSS_SECONDS):
        for channel in list(opened.session.channels):
            await channel.ended.wait()
