"""An application that was started elsewhere takes its files over from where it ran before (MS-SMB2 3.3.5.9.13)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from odxfs.errors import NotFound
from odxfs.ntstatus import Status
from odxfs.smb.access import FILE_READ_DATA
from odxfs.smb.closing import close_open
from odxfs.smb.opening import maximal_in_share
from odxfs.smb.request import SmbError
from odxfs.volume import upcase

if TYPE_CHECKING:
    from odxfs.smb.durable.durability import AppInstance
    from odxfs.smb.opens import SmbOpen
    from odxfs.smb.request import RequestContext
    from odxfs.volume import Inode
    from odxfs.wire.create import CreateRequest


async def displace(context: RequestContext, request: CreateRequest, instance: AppInstance | None) -> None:
    """Close what other clients have open of this file for the same application, without a break.

    SmbError(FILE_FORCED_CLOSED) when one of them has a version that is not older. Opens of files that the user may not read
    stay.
    """
    if instance is None:
        return
    found = [
        opened
        for opened in context.server.durable.of_application(instance.id)
        if _is_displaced(context, request, opened)
    ]
    if any(_is_newer(opened, instance) for opened in found):
        raise SmbError(Status.FILE_FORCED_CLOSED)
    for opened in found:
        parent = await _folder_of(opened)
        await opened.volume.security(opened.file_inode)
        if maximal_in_share(context, opened.view, opened.file_inode, parent) & FILE_READ_DATA:
            await close_open(context.server, opened)


async def _folder_of(opened: SmbOpen) -> Inode | None:
    """The folder of an open, ready to be judged; None where it is gone, or there is none."""
    try:
        parent = None if opened.parent is None else await opened.volume.inode(opened.parent)
    except NotFound:
        return None
    if parent is not None:
        await opened.volume.security(parent)
    return parent


def _is_displaced(context: RequestContext, request: CreateRequest, opened: SmbOpen) -> bool:
    assert opened.durability is not None, "opens are found by it"
    return (
        opened.durability.client_guid != context.connection.client_guid
        and opened.tree.share.name == context.tree.share.name
        and upcase(opened.full_path) == upcase(request.name)
    )


def _is_newer(opened: SmbOpen, instance: AppInstance) -> bool:
    """Whether the open's application is of the same version or a later one; not where one of the two tells none."""
    assert opened.durability is not None, "opens are found by it"
    there = opened.durability.app_instance
    return (
        there is not None
        and there.version is not None
        and instance.version is not None
        and there.version >= instance.version
    )
