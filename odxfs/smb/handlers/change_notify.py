"""CHANGE_NOTIFY: what happens in a directory, told when it happens (MS-SMB2 3.3.5.19, MS-FSA 2.1.5.11)."""

from contextlib import nullcontext
from functools import partial

from odxfs.ntstatus import Status
from odxfs.smb.access import FILE_LIST_DIRECTORY, may_list, require
from odxfs.smb.limits import MAX_WATCHES_PER_SESSION
from odxfs.smb.notify.watch import ALL_FILTERS, Event, Filter, Watch
from odxfs.smb.opens import SmbOpen
from odxfs.smb.request import RequestContext, SmbError
from odxfs.wire.change_notify import ChangeNotifyFlags, ChangeNotifyRequest, ChangeNotifyResponse
from odxfs.wire.fscc.notify import NotifyInformation, pack_notify_information


async def change_notify(context: RequestContext) -> ChangeNotifyResponse:
    """Answer with what has happened since the last request on this open, or wait for the next change.

    SmbError: NOTIFY_ENUM_DIR when it was too much, NOTIFY_CLEANUP when the directory is closed, DELETE_PENDING while it is to go,
    NOT_SUPPORTED in a previous version, where nothing ever changes, INSUFFICIENT_RESOURCES past MAX_WATCHES_PER_SESSION.
    """
    request = ChangeNotifyRequest.unpack(context.pdu)
    opened = context.find_open(request.file_id)
    if request.output_buffer_length > context.server.settings.max_transact_bytes:
        raise SmbError(Status.INVALID_PARAMETER)
    if not opened.is_directory:
        raise SmbError(Status.INVALID_PARAMETER)
    require(opened.granted_access, FILE_LIST_DIRECTORY)
    if opened.is_previous_version:
        raise SmbError(Status.NOT_SUPPORTED, "a previous version does not change")
    await context.server.notifications.catch_up()
    if opened.closed:
        raise SmbError(Status.FILE_CLOSED)
    _check_kept(context, opened)
    watch = _watch(context, opened, Filter(request.completion_filter & ALL_FILTERS), request)
    async with nullcontext() if watch.ready else context.waiting():
        _check_kept(context, opened)
        events = await watch.next(request.output_buffer_length, context.header.message_id)
    return ChangeNotifyResponse(_pack(events))


def _check_kept(context: RequestContext, opened: SmbOpen) -> None:
    """A folder that is to go is not watched: it would wait for the watcher's open."""
    if context.server.opens.is_delete_pending(opened.inode.number):
        raise SmbError(Status.DELETE_PENDING)


def _watch(context: RequestContext, opened: SmbOpen, wanted: Filter, request: ChangeNotifyRequest) -> Watch:
    """The watch of this open. The first request fixes what it watches; it gathers until the open is closed."""
    if not isinstance(opened.watch, Watch):
        watched = sum(other.watch is not None for other in context.session.opens.values())
        if watched >= MAX_WATCHES_PER_SESSION:
            raise SmbError(Status.INSUFFICIENT_RESOURCES, "too many watched folders of one session")
        opened.watch = context.server.notifications.watch(
            opened.volume,
            opened.inode.number,
            wanted,
            request.output_buffer_length,
            tree=bool(request.flags & ChangeNotifyFlags.WATCH_TREE),
            may_see=partial(may_list, token=context.token),
        )
    return opened.watch


def _pack(events: list[Event]) -> bytes:
    return pack_notify_information([NotifyInformation(event.action, event.name) for event in events])
