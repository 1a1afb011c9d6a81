"""Which durability a CREATE gets, and what the answer says about it (MS-SMB2 3.3.5.9.6, 3.3.5.9.10)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from odxfs.smb.durable.durability import Durability, Kind
from odxfs.smb.limits import DURABLE_SECONDS, DURABLE_V2_SECONDS, MAX_DURABLE_V2_SECONDS
from odxfs.wire.create_contexts import DurableHandleFlags, DurableHandleResponse, DurableHandleResponseV2
from odxfs.wire.negotiate import Capabilities

if TYPE_CHECKING:
    from odxfs.smb.durable.wishes import Wishes
    from odxfs.smb.opens import SmbOpen
    from odxfs.smb.request import RequestContext
    from odxfs.wire.create import CreateAction, RawContext


def grant_durability(context: RequestContext, opened: SmbOpen, action: CreateAction, wishes: Wishes) -> None:
    """Note what is to be known about a fresh open if its client comes back or asks again."""
    if not wishes.is_any:
        return
    kind = _kind(context, opened, wishes)
    opened.durability = Durability(
        client_guid=context.connection.client_guid,
        owner=context.session.user_name,
        action=action,
        create_guid=wishes.create_guid,
        app_instance=wishes.app_instance,
        kind=kind,
        timeout=_seconds(kind, wishes),
    )
    context.server.durable.enter(opened)


def _kind(context: RequestContext, opened: SmbOpen, wishes: Wishes) -> Kind:
    if wishes.wants_persistence and _may_persist(context, opened):
        return Kind.PERSISTENT
    if opened.is_directory or not caches_handles(opened):
        return Kind.NONE
    if wishes.request_v2 is not None:
        return Kind.DURABLE_V2
    return Kind.DURABLE if wishes.request is not None else Kind.NONE


def _may_persist(context: RequestContext, opened: SmbOpen) -> bool:
    """On a share that is continuously available, to a client that has heard that such opens exist."""
    return bool(
        opened.tree.share.continuously_available
        and not opened.is_directory
        and not opened.is_previous_version
        and context.connection.server_capabilities & Capabilities.PERSISTENT_HANDLES
        and context.server.durable.may_persist(context.session.user_name)
    )


def caches_handles(opened: SmbOpen) -> bool:
    """Whether its oplock or lease lets the client keep the open longer than its programs do, and nobody has asked for that."""
    grant = opened.grant
    return grant is not None and grant.caches_handle and not grant.breaking


def _seconds(kind: Kind, wishes: Wishes) -> float:
    if wishes.request_v2 is None:
        return DURABLE_SECONDS if kind is Kind.DURABLE else 0.0
    asked = wishes.request_v2.timeout / 1000
    return min(asked, MAX_DURABLE_V2_SECONDS) if asked else DURABLE_V2_SECONDS


def answer_durability(opened: SmbOpen, wishes: Wishes) -> list[RawContext]:
    """The context that tells what was granted, none where nothing was.

    A CREATE that is sent again hears what it would have got for the oplock that it asks for this time (see `replay.py`).
    """
    durability = opened.durability
    if durability is None:
        return []
    if wishes.request is not None and durability.kind is Kind.DURABLE:
        return [(DurableHandleResponse.NAME, DurableHandleResponse().pack())]
    if wishes.request_v2 is None or durability.kind is Kind.NONE:
        return []
    if not (durability.is_persistent or wishes.wants_handle_caching or wishes.lease is not None):
        return []
    flags = DurableHandleFlags.PERSISTENT if durability.is_persistent else 0
    answer = DurableHandleResponseV2(round(durability.timeout * 1000), flags)
    return [(DurableHandleResponseV2.NAME, answer.pack())]
