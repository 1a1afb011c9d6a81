"""A client may be back before the loss of its old connection has been looked at: that has to come first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from odxfs.smb.limits import LOSS_SECONDS

if TYPE_CHECKING:
    from odxfs.smb.opens import SmbOpen
    from odxfs.smb.request import RequestContext

_TURNS = 8
"""Turns of the event loop in which whatever has reached this machine before the request is seen: one for the socket, some for
the tasks that end with it."""


async def let_loss_happen(context: RequestContext, opened: SmbOpen | None) -> None:
    """Wait until an open is parked, or closed, whose connection has been lost before this request came.

    Returns at once, or after a few turns of the event loop, where it has not been lost.
    """
    for _ in range(_TURNS):
        if opened is None or opened.is_parked or opened.closed or opened.session is context.session:
            return
        if all(channel.is_ending for channel in opened.session.channels):
            break
        await trio.lowlevel.checkpoint()
    else:
        return
    with trio.move_on_after(LOSS_SECONDS):
        for channel in list(opened.session.channels):
            await channel.ended.wait()
