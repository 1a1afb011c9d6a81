"""A hypothesis strategy for every message and structure of `odxfs.wire`, and the list of all its parsers.

`test_every_parser_has_a_strategy` holds the tables against the package, so a new class cannot be forgotten.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from hypothesis import strategies as st

import odxfs.wire
from odxfs.wire import (
    cancel,
    change_notify,
    close,
    create,
    echo,
    error,
    flush,
    ioctl,
    lock,
    logoff,
    negotiate,
    oplock_break,
    query_directory,
    query_info,
    read,
    session_setup,
    set_info,
    tree_connect,
    tree_disconnect,
    write,
)
from odxfs.wire import create_contexts as cc
from odxfs.wire import negotiate_contexts as nc
from odxfs.wire.file_id import FileId
from odxfs.wire.fscc import directory_information as di
from odxfs.wire.fscc import ea, file_names, notify
from odxfs.wire.fscc import file_information as fi
from odxfs.wire.fscc import file_system_information as fs
from odxfs.wire.fscc import security_descriptor as sd
from odxfs.wire.fscc.classes import FileInformationClass
from odxfs.wire.fscc.sid import Sid
from odxfs.wire.fsctl import (
    copychunk,
    duplicate_extents,
    file_regions,
    integrity,
    network_interface,
    offload,
    reparse,
    resiliency,
    resume_key,
    snapshots,
    sparse,
    trim,
    validate_negotiate,
)
from odxfs.wire.gmt_token import format_gmt_token

Strategy = st.SearchStrategy[Any]


def unsigned(bits: int) -> Strategy:
    return st.integers(0, 2**bits - 1)


def size_of(count: int) -> Strategy:
    return st.binary(min_size=count, max_size=count)


def rows(element: Strategy, minimum: int = 0, maximum: int = 5) -> Strategy:
    return st.lists(element, min_size=minimum, max_size=maximum).map(tuple)


u8, u16, u32, u64 = unsigned(8), unsigned(16), unsigned(32), unsigned(64)
i64 = st.integers(-(2**63), 2**63 - 1)
flag = st.booleans()
blob = st.binary(max_size=70)
guid = size_of(16)
file_ids = st.builds(FileId, u64, u64)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
ids = rows(u16, minimum=1)
raw_contexts = rows(st.tuples(st.binary(min_size=4, max_size=16), blob))

negotiate_contexts: dict[type, Strategy] = {
    nc.PreauthIntegrityCapabilities: st.builds(nc.PreauthIntegrityCapabilities, ids, blob),
    nc.EncryptionCapabilities: st.builds(nc.EncryptionCapabilities, ids),
    nc.CompressionCapabilities: st.builds(nc.CompressionCapabilities, ids, u32),
    nc.NetnameNegotiateContextId: st.builds(nc.NetnameNegotiateContextId, texts),
    nc.TransportCapabilities: st.builds(nc.TransportCapabilities, u32),
    nc.RdmaTransformCapabilities: st.builds(nc.RdmaTransformCapabilities, ids),
    nc.SigningCapabilities: st.builds(nc.SigningCapabilities, ids),
}
context_lists = rows(
    st.one_of(*negotiate_contexts.values(), st.builds(nc.UnknownContext, st.integers(0x100, 0xFFFF), blob))
)
with_3_1_1 = rows(u16, maximum=4).map(lambda others: (*others, negotiate.Dialect.SMB_3_1_1))
responses_3_1_1 = st.builds(
    negotiate.NegotiateResponse, st.just(0x311), guid, u32, u32, u32, u64, u16, u32, u64, blob, context_lists
)

MESSAGES: dict[type, Strategy] = {
    negotiate.NegotiateRequest: st.builds(
        negotiate.NegotiateRequest, with_3_1_1, u16, u32, guid, context_lists
    ),
    negotiate.NegotiateResponse: responses_3_1_1,
    session_setup.SessionSetupRequest: st.builds(
        session_setup.SessionSetupRequest, blob, u8, u8, u32, u32, u64
    ),
    session_setup.SessionSetupResponse: st.builds(session_setup.SessionSetupResponse, u16, blob),
    logoff.LogoffRequest: st.builds(logoff.LogoffRequest),
    logoff.LogoffResponse: st.builds(logoff.LogoffResponse),
    tree_connect.TreeConnectRequest: st.builds(tree_connect.TreeConnectRequest, texts, u16),
    tree_connect.TreeConnectResponse: st.builds(tree_connect.TreeConnectResponse, u8, u32, u32, u32),
    tree_disconnect.TreeDisconnectRequest: st.builds(tree_disconnect.TreeDisconnectRequest),
    tree_disconnect.TreeDisconnectResponse: st.builds(tree_disconnect.TreeDisconnectResponse),
    create.CreateRequest: st.builds(
        create.CreateRequest, texts, u32, u32, u32, u32, u32, u8, u32, raw_contexts
    ),
    create.CreateResponse: st.builds(
        create.CreateResponse, file_ids, u32, i64, i64, i64, i64, i64, i64, u32, u8, u8, raw_contexts
    ),
    close.CloseRequest: st.builds(close.CloseRequest, file_ids, u16),
    close.CloseResponse: st.builds(close.CloseResponse, u16, i64, i64, i64, i64, i64, i64, u32),
    flush.FlushRequest: st.builds(flush.FlushRequest, file_ids),
    flush.FlushResponse: st.builds(flush.FlushResponse),
    read.ReadRequest: st.builds(read.ReadRequest, file_ids, u64, u32, u32, u8, u32, u32, u8),
    read.ReadResponse: st.builds(read.ReadResponse, blob, u32, u32),
    write.WriteRequest: st.builds(write.WriteRequest, file_ids, u64, blob, u32, u32, u32),
    write.WriteResponse: st.builds(write.WriteResponse, u32, u32),
    lock.LockRequest: st.builds(
        lock.LockRequest,
        file_ids,
        rows(st.builds(lock.LockElement, u64, u64, u32), minimum=1),
        unsigned(4),
        unsigned(28),
    ),
    lock.LockResponse: st.builds(lock.LockResponse),
    ioctl.IoctlRequest: st.builds(ioctl.IoctlRequest, u32, file_ids, blob, u32, u32, u32),
    ioctl.IoctlResponse: st.builds(ioctl.IoctlResponse, u32, file_ids, blob, blob, u32),
    echo.EchoRequest: st.builds(echo.EchoRequest),
    echo.EchoResponse: st.builds(echo.EchoResponse),
    cancel.CancelRequest: st.builds(cancel.CancelRequest),
    query_directory.QueryDirectoryRequest: st.builds(
        query_directory.QueryDirectoryRequest, u8, file_ids, texts, u32, u8, u32
    ),
    query_directory.QueryDirectoryResponse: st.builds(query_directory.QueryDirectoryResponse, blob),
    change_notify.ChangeNotifyRequest: st.builds(change_notify.ChangeNotifyRequest, file_ids, u32, u32, u16),
    change_notify.ChangeNotifyResponse: st.builds(change_notify.ChangeNotifyResponse, blob),
    query_info.QueryInfoRequest: st.builds(
        query_info.QueryInfoRequest, u8, u8, file_ids, u32, u32, u32, blob
    ),
    query_info.QueryInfoResponse: st.builds(query_info.QueryInfoResponse, blob),
    set_info.SetInfoRequest: st.builds(set_info.SetInfoRequest, u8, u8, file_ids, blob, u32),
    set_info.SetInfoResponse: st.builds(set_info.SetInfoResponse),
    oplock_break.OplockBreakNotification: st.builds(oplock_break.OplockBreakNotification, u8, file_ids),
    oplock_break.OplockBreakAcknowledgment: st.builds(oplock_break.OplockBreakAcknowledgment, u8, file_ids),
    oplock_break.OplockBreakResponse: st.builds(oplock_break.OplockBreakResponse, u8, file_ids),
    oplock_break.LeaseBreakNotification: st.builds(
        oplock_break.LeaseBreakNotification, guid, u32, u32, u16, u32, u32, u32, u32
    ),
    oplock_break.LeaseBreakAcknowledgment: st.builds(
        oplock_break.LeaseBreakAcknowledgment, guid, u32, u32, u64
    ),
    oplock_break.LeaseBreakResponse: st.builds(oplock_break.LeaseBreakResponse, guid, u32, u32, u64),
    error.ErrorResponse: st.one_of(
        st.builds(error.ErrorResponse, blob),
        st.builds(error.ErrorResponse, st.just(b""), rows(st.builds(error.ErrorContext, blob, u32))),
    ),
}

sids = st.builds(Sid, unsigned(48), rows(u32, minimum=1, maximum=15))
aces = st.one_of(
    st.builds(sd.Ace, st.sampled_from(sd.AceType), u8, u32, sids, rows(size_of(4)).map(b"".join)),
    st.builds(sd.OpaqueAce, st.sampled_from([5, 6, 0x0B, 0xFF]), u8, rows(size_of(4)).map(b"".join)),
)
acls = st.builds(sd.Acl, rows(aces), st.sampled_from([2, 4]))


@st.composite
def descriptors(draw: st.DrawFn) -> sd.SecurityDescriptor:
    maybe_sid, maybe_acl = st.none() | sids, st.none() | acls
    dacl, sacl = draw(maybe_acl), draw(maybe_acl)
    control = draw(u16) & ~(sd.Control.DACL_PRESENT | sd.Control.SACL_PRESENT) | sd.Control.SELF_RELATIVE
    control |= sd.Control.DACL_PRESENT if dacl is not None else 0
    control |= sd.Control.SACL_PRESENT if sacl is not None else 0
    return sd.SecurityDescriptor(draw(maybe_sid), draw(maybe_sid), dacl, sacl, control)


offload_fields = {"size": u32, "flags": u32}
fixed_parts = {
    fi.FileBasicInformation: st.builds(fi.FileBasicInformation, i64, i64, i64, i64, u32),
    fi.FileStandardInformation: st.builds(fi.FileStandardInformation, i64, i64, u32, flag, flag),
    fi.FileInternalInformation: st.builds(fi.FileInternalInformation, u64),
    fi.FileEaInformation: st.builds(fi.FileEaInformation, u32),
    fi.FileAccessInformation: st.builds(fi.FileAccessInformation, u32),
    fi.FilePositionInformation: st.builds(fi.FilePositionInformation, i64),
    fi.FileModeInformation: st.builds(fi.FileModeInformation, u32),
    fi.FileAlignmentInformation: st.builds(fi.FileAlignmentInformation, u32),
}
file_name_information = st.builds(file_names.FileNameInformation, texts)
gmt_tokens = st.integers(-(10**10), 10**11).map(format_gmt_token)
socket_addresses = st.one_of(
    st.integers(0, 2**32 - 1).map(IPv4Address), st.integers(0, 2**128 - 1).map(IPv6Address)
)

STRUCTURES: dict[type, Strategy] = {
    **negotiate_contexts,
    **fixed_parts,
    error.SymbolicLinkErrorResponse: st.builds(error.SymbolicLinkErrorResponse, texts, texts, u16, u32),
    cc.QueryMaximalAccessRequest: st.builds(cc.QueryMaximalAccessRequest, st.none() | i64),
    cc.QueryMaximalAccessResponse: st.builds(cc.QueryMaximalAccessResponse, u32, u32),
    cc.QueryOnDiskIdResponse: st.builds(cc.QueryOnDiskIdResponse, u64, u64),
    cc.AllocationSize: st.builds(cc.AllocationSize, u64),
    cc.TimewarpToken: st.builds(cc.TimewarpToken, i64),
    cc.DurableHandleRequest: st.builds(cc.DurableHandleRequest),
    cc.DurableHandleResponse: st.builds(cc.DurableHandleResponse),
    cc.DurableHandleReconnect: st.builds(cc.DurableHandleReconnect, file_ids),
    cc.DurableHandleRequestV2: st.builds(cc.DurableHandleRequestV2, u32, u32, guid),
    cc.DurableHandleResponseV2: st.builds(cc.DurableHandleResponseV2, u32, u32),
    cc.DurableHandleReconnectV2: st.builds(cc.DurableHandleReconnectV2, file_ids, guid, u32),
    cc.Lease: st.builds(cc.Lease, guid, u32, u32, u64),
    cc.LeaseV2: st.builds(cc.LeaseV2, guid, u32, u32, u64, guid, u16),
    cc.AppInstanceId: st.builds(cc.AppInstanceId, guid),
    cc.AppInstanceVersion: st.builds(cc.AppInstanceVersion, u64, u64),
    fi.FileNetworkOpenInformation: st.builds(
        fi.FileNetworkOpenInformation, i64, i64, i64, i64, i64, i64, u32
    ),
    fi.FileAttributeTagInformation: st.builds(fi.FileAttributeTagInformation, u32, u32),
    fi.FileCompressionInformation: st.builds(fi.FileCompressionInformation, i64, u16, u8, u8, u8),
    fi.FileStandardLinkInformation: st.builds(fi.FileStandardLinkInformation, u32, u32, flag, flag),
    fi.FileIdInformation: st.builds(fi.FileIdInformation, u64, unsigned(128)),
    fi.FileEndOfFileInformation: st.builds(fi.FileEndOfFileInformation, i64),
    fi.FileAllocationInformation: st.builds(fi.FileAllocationInformation, i64),
    fi.FileValidDataLengthInformation: st.builds(fi.FileValidDataLengthInformation, i64),
    fi.FileDispositionInformation: st.builds(fi.FileDispositionInformation, flag),
    fi.FileDispositionInformationEx: st.builds(fi.FileDispositionInformationEx, u32),
    fi.FilePipeInformation: st.builds(fi.FilePipeInformation, u32, u32),
    fi.FilePipeLocalInformation: st.builds(fi.FilePipeLocalInformation, *[u32] * 10),
    file_names.FileNameInformation: file_name_information,
    file_names.FileNormalizedNameInformation: st.builds(file_names.FileNormalizedNameInformation, texts),
    file_names.FileAlternateNameInformation: st.builds(file_names.FileAlternateNameInformation, texts),
    file_names.FileRenameInformation: st.builds(file_names.FileRenameInformation, texts, flag, u64),
    file_names.FileLinkInformation: st.builds(file_names.FileLinkInformation, texts, flag, u64),
    file_names.FileRenameInformationEx: st.builds(file_names.FileRenameInformationEx, texts, u32, u64),
    file_names.FileStreamInformation: st.builds(file_names.FileStreamInformation, texts, i64, i64),
    file_names.FileAllInformation: st.builds(
        file_names.FileAllInformation, *fixed_parts.values(), file_name_information
    ),
    fs.FileFsVolumeInformation: st.builds(fs.FileFsVolumeInformation, i64, u32, texts, flag),
    fs.FileFsLabelInformation: st.builds(fs.FileFsLabelInformation, texts),
    fs.FileFsSizeInformation: st.builds(fs.FileFsSizeInformation, i64, i64, u32, u32),
    fs.FileFsFullSizeInformation: st.builds(fs.FileFsFullSizeInformation, i64, i64, i64, u32, u32),
    fs.FileFsDeviceInformation: st.builds(fs.FileFsDeviceInformation, u32, u32),
    fs.FileFsAttributeInformation: st.builds(
        fs.FileFsAttributeInformation, u32, st.integers(-(2**31), 2**31 - 1), texts
    ),
    fs.FileFsControlInformation: st.builds(fs.FileFsControlInformation, i64, i64, i64, u64, u64, u32),
    fs.FileFsObjectIdInformation: st.builds(fs.FileFsObjectIdInformation, guid, size_of(48)),
    fs.FileFsSectorSizeInformation: st.builds(fs.FileFsSectorSizeInformation, *[u32] * 7),
    Sid: sids,
    sd.Acl: acls,
    sd.SecurityDescriptor: descriptors(),
    offload.OffloadReadInput: st.builds(
        offload.OffloadReadInput, token_time_to_live=u32, file_offset=u64, copy_length=u64, **offload_fields
    ),
    offload.OffloadReadOutput: st.builds(
        offload.OffloadReadOutput, transfer_length=u64, token=size_of(512), **offload_fields
    ),
    offload.OffloadWriteInput: st.builds(
        offload.OffloadWriteInput,
        file_offset=u64,
        copy_length=u64,
        transfer_offset=u64,
        token=size_of(512),
        **offload_fields,
    ),
    offload.OffloadWriteOutput: st.builds(offload.OffloadWriteOutput, length_written=u64, **offload_fields),
    copychunk.SrvCopychunkCopy: st.builds(
        copychunk.SrvCopychunkCopy, size_of(24), rows(st.builds(copychunk.SrvCopychunk, u64, u64, u32))
    ),
    copychunk.SrvCopychunkResponse: st.builds(copychunk.SrvCopychunkResponse, u32, u32, u32),
    resume_key.SrvRequestResumeKeyResponse: st.builds(resume_key.SrvRequestResumeKeyResponse, size_of(24)),
    sparse.FileSetSparseBuffer: st.builds(sparse.FileSetSparseBuffer, flag),
    sparse.FileZeroDataInformation: st.builds(sparse.FileZeroDataInformation, i64, i64),
    sparse.FileAllocatedRange: st.builds(sparse.FileAllocatedRange, i64, i64),
    reparse.ReparseData: st.builds(reparse.ReparseData, u32, blob),
    reparse.SymbolicLinkData: st.builds(reparse.SymbolicLinkData, texts, texts, u32),
    trim.FileLevelTrim: st.builds(trim.FileLevelTrim, rows(st.builds(trim.TrimRange, u64, u64)), u32),
    trim.FileLevelTrimOutput: st.builds(trim.FileLevelTrimOutput, u32),
    duplicate_extents.DuplicateExtentsData: st.builds(
        duplicate_extents.DuplicateExtentsData, file_ids, i64, i64, i64
    ),
    duplicate_extents.DuplicateExtentsDataEx: st.builds(
        duplicate_extents.DuplicateExtentsDataEx, file_ids, i64, i64, i64, u32, u64
    ),
    validate_negotiate.ValidateNegotiateInfoRequest: st.builds(
        validate_negotiate.ValidateNegotiateInfoRequest, u32, guid, u16, rows(u16)
    ),
    validate_negotiate.ValidateNegotiateInfoResponse: st.builds(
        validate_negotiate.ValidateNegotiateInfoResponse, u32, guid, u16, u16
    ),
    snapshots.SrvSnapshotArray: st.builds(
        snapshots.SrvSnapshotArray.of, rows(gmt_tokens), st.sampled_from((16, 200, 65536))
    ),
    network_interface.NetworkInterfaceInfo: st.builds(
        network_interface.NetworkInterfaceInfo, u32, socket_addresses, u64, u32, u16
    ),
    resiliency.NetworkResiliencyRequest: st.builds(resiliency.NetworkResiliencyRequest, u32),
    file_regions.FileRegionInput: st.builds(file_regions.FileRegionInput, i64, i64, u32),
    file_regions.FileRegionOutput: st.builds(
        file_regions.FileRegionOutput, rows(st.builds(file_regions.FileRegion, i64, i64, u32)), u32, u32
    ),
    integrity.GetIntegrityInformationBuffer: st.builds(
        integrity.GetIntegrityInformationBuffer, u16, u32, u32, u32
    ),
    integrity.SetIntegrityInformationBuffer: st.builds(integrity.SetIntegrityInformationBuffer, u16, u32),
    integrity.SetIntegrityInformationBufferEx: st.builds(
        integrity.SetIntegrityInformationBufferEx, u8, u8, u32, u8
    ),
}

entries = st.builds(
    di.DirectoryInformation,
    file_name=texts,
    file_attributes=u32,
    creation_time=i64,
    last_access_time=i64,
    last_write_time=i64,
    change_time=i64,
    end_of_file=i64,
    allocation_size=i64,
    file_id=u64,
    file_index=u32,
    ea_size=u32,
    reparse_point_tag=u32,
    short_name=st.text("ABC~.1", max_size=12),
)
ea_names = st.text(st.characters(min_codepoint=1, max_codepoint=127), min_size=1, max_size=20).map(str.encode)

CHAINS: dict[str, tuple[Callable[..., bytes], Callable[..., Any], Strategy]] = {
    "create contexts": (create.pack_create_contexts, create.unpack_create_contexts, raw_contexts),
    "extended attributes": (
        ea.pack_full_ea,
        ea.unpack_full_ea,
        rows(st.builds(ea.ExtendedAttribute, ea_names, blob, u8)),
    ),
    "names of extended attributes": (ea.pack_get_ea, ea.unpack_get_ea, rows(ea_names)),
    "streams": (
        file_names.pack_streams,
        file_names.unpack_streams,
        rows(STRUCTURES[file_names.FileStreamInformation]),
    ),
    "notifications": (
        notify.pack_notify_information,
        notify.unpack_notify_information,
        rows(st.builds(notify.NotifyInformation, u32, texts)),
    ),
    "interfaces": (
        network_interface.pack_interfaces,
        network_interface.unpack_interfaces,
        rows(STRUCTURES[network_interface.NetworkInterfaceInfo]),
    ),
    "allocated ranges": (
        sparse.pack_allocated_ranges,
        sparse.unpack_allocated_ranges,
        rows(st.tuples(i64, i64)),
    ),
    "both directory": (
        lambda value: di.pack_entries(FileInformationClass.ID_BOTH_DIRECTORY, value, 1 << 20)[0],
        lambda data: tuple(di.unpack_entries(FileInformationClass.ID_BOTH_DIRECTORY, data)),
        rows(entries).map(lambda each: tuple(_without_tag(entry) for entry in each)),
    ),
}


def _without_tag(entry: di.DirectoryInformation) -> di.DirectoryInformation:
    fields = {name: getattr(entry, name) for name in entry.__match_args__}
    return di.DirectoryInformation(**fields | {"reparse_point_tag": 0})


OTHER_OWNERS = (
    "Header",  # test_header.py
    "Smb1NegotiateRequest",  # test_negotiate.py
    "EmptyBody",  # bases
    "OutputBufferResponse",
    "FixedStructure",
)


def parser_classes() -> list[type]:
    """Every public class of the codec that has both `unpack` and `pack`."""
    found: dict[type, None] = {}
    for module_info in pkgutil.walk_packages(odxfs.wire.__path__, "odxfs.wire."):
        if (
            "connection" in module_info.name
            or "crypto" in module_info.name
            or "transform" in module_info.name
        ):
            continue
        module = importlib.import_module(module_info.name)
        for name, value in inspect.getmembers(module, inspect.isclass):
            is_public = value.__module__ == module_info.name and not name.startswith("_")
            if is_public and hasattr(value, "unpack") and hasattr(value, "pack") and name not in OTHER_OWNERS:
                found[value] = None
    return list(found)
