"""Two independent codecs, impacket's and smbprotocol's, must read what we write, and we what they write."""

import uuid
from typing import Any

from impacket import smb
from impacket import smb3structs as impacket
from impacket.ldap.ldaptypes import SR_SECURITY_DESCRIPTOR
from smbprotocol import create_contexts as peer_contexts
from smbprotocol import file_info as peer_info
from smbprotocol import ioctl as peer_ioctl
from smbprotocol import open as peer_open
from smbprotocol.connection import SMB2NegotiateRequest as PeerNegotiateRequest
from smbprotocol.connection import SMB2NegotiateResponse as PeerNegotiateResponse
from smbprotocol.connection import SMB3NegotiateRequest as PeerNegotiateRequest311
from smbprotocol.header import SMB2HeaderRequest, SMB2HeaderResponse
from smbprotocol.session import SMB2SessionSetupRequest as PeerSessionSetupRequest
from smbprotocol.tree import SMB2TreeConnectRequest as PeerTreeConnectRequest

from odxfs.wire import create_contexts as cc
from odxfs.wire import negotiate_contexts as nc
from odxfs.wire.close import CloseRequest, CloseResponse
from odxfs.wire.create import CreateRequest, CreateResponse
from odxfs.wire.file_id import FileId
from odxfs.wire.fscc.classes import FileInformationClass
from odxfs.wire.fscc.directory_information import DirectoryInformation, pack_entries
from odxfs.wire.fscc.file_information import FileBasicInformation
from odxfs.wire.fscc.file_names import FileRenameInformation
from odxfs.wire.fscc.filetime import Filetime, from_ns
from odxfs.wire.fscc.security_descriptor import Ace, AceType, Acl, SecurityDescriptor
from odxfs.wire.fscc.sid import ADMINISTRATORS, EVERYONE
from odxfs.wire.fsctl.codes import Fsctl
from odxfs.wire.fsctl.copychunk import SrvCopychunk, SrvCopychunkCopy
from odxfs.wire.fsctl.validate_negotiate import ValidateNegotiateInfoRequest
from odxfs.wire.header import Command, Header, HeaderFlags
from odxfs.wire.ioctl import IoctlRequest, IoctlResponse
from odxfs.wire.lock import LockElement, LockRequest
from odxfs.wire.negotiate import Dialect, NegotiateRequest, NegotiateResponse
from odxfs.wire.query_directory import QueryDirectoryRequest
from odxfs.wire.query_info import QueryInfoRequest, QueryInfoResponse
from odxfs.wire.read import ReadRequest, ReadResponse
from odxfs.wire.session_setup import SessionSetupRequest
from odxfs.wire.set_info import SetInfoRequest
from odxfs.wire.tree_connect import TreeConnectRequest, TreeConnectResponse
from odxfs.wire.write import WriteRequest

FID = FileId(0x1111222233334444, 0x5555666677778888)
FID_BYTES = bytes.fromhex("44443333222211118888777766665555")
GUID = bytes(range(16))
TIME = from_ns(1_700_000_000 * 10**9)
FRONT = Header(Command.READ).pack()


def ours(kind: Any, body: bytes) -> Any:
    return kind.unpack(memoryview(FRONT + body))


def theirs(kind: Any, body: bytes) -> Any:
    """Their message made of our body."""
    message = kind()
    message.unpack(body)
    return message


def test_the_header() -> None:
    header = Header(
        Command.READ,
        3,
        0,
        5,
        HeaderFlags.SIGNED,
        0,
        77,
        tree_id=9,
        session_id=2**60,
        signature=bytes(range(16)),
    )
    peer = theirs(SMB2HeaderRequest, header.pack())
    assert peer["message_id"].get_value() == 77
    assert peer["session_id"].get_value() == 2**60
    assert peer["tree_id"].get_value() == 9
    assert peer["credit_charge"].get_value() == 3
    assert peer["signature"].get_value() == bytes(range(16))
    assert Header.unpack(peer.pack()) == header
    response = theirs(SMB2HeaderResponse, Header(Command.READ, status=0xC000000D).pack())
    assert response["status"].get_value() == 0xC000000D
    packet = impacket.SMB2Packet(header.pack())
    assert (packet["Command"], packet["MessageID"], packet["TreeID"]) == (8, 77, 9)


def test_negotiate_request() -> None:
    peer = PeerNegotiateRequest()
    peer["dialects"] = [0x0202, 0x0210, 0x0300]
    peer["client_guid"] = uuid.UUID(bytes=GUID)
    request = ours(NegotiateRequest, peer.pack())
    assert request.dialects == (0x0202, 0x0210, 0x0300)
    assert request.client_guid == GUID


def test_negotiate_request_with_contexts() -> None:
    request = NegotiateRequest(
        (Dialect.SMB_3_0, Dialect.SMB_3_0_2, Dialect.SMB_3_1_1),
        client_guid=GUID,
        negotiate_contexts=(
            nc.PreauthIntegrityCapabilities((nc.HashAlgorithm.SHA_512,), bytes(32)),
            nc.EncryptionCapabilities((nc.Cipher.AES_128_GCM, nc.Cipher.AES_256_GCM)),
            nc.SigningCapabilities((nc.SigningAlgorithm.AES_GMAC,)),
        ),
    )
    peer = theirs(PeerNegotiateRequest311, request.pack())
    assert peer["dialects"].get_value() == [0x0300, 0x0302, 0x0311]
    kinds = [context["context_type"].get_value() for context in peer["negotiate_context_list"].get_value()]
    assert kinds == [1, 2, 8]


def test_negotiate_response() -> None:
    contexts = (nc.PreauthIntegrityCapabilities((1,), bytes(32)), nc.EncryptionCapabilities((2,)))
    response = NegotiateResponse(
        0x311, GUID, 1, 2, 3, TIME, security_buffer=b"token", negotiate_contexts=contexts
    )
    peer = theirs(PeerNegotiateResponse, response.pack())
    assert peer["buffer"].get_value() == b"token"
    assert peer["max_write_size"].get_value() == 3
    assert len(peer["negotiate_context_list"].get_value()) == 2
    parsed = impacket.SMB2Negotiate_Response(response.pack())
    assert parsed["DialectRevision"] == 0x311
    assert parsed["Buffer"] == b"token"


def test_session_setup_and_tree_connect() -> None:
    setup = SessionSetupRequest(b"spnego", security_mode=1, previous_session_id=5)
    assert theirs(PeerSessionSetupRequest, setup.pack())["buffer"].get_value() == b"spnego"
    peer = PeerSessionSetupRequest()
    peer["buffer"] = b"spnego"
    assert ours(SessionSetupRequest, peer.pack()).security_buffer == b"spnego"
    tree = PeerTreeConnectRequest()
    tree["buffer"] = "\\\\server\\share".encode("utf-16-le")
    assert ours(TreeConnectRequest, tree.pack()).path == "\\\\server\\share"
    response = impacket.SMB2TreeConnect_Response(TreeConnectResponse(1, 0x1F01FF, 0x30).pack())
    assert (response["ShareType"], response["MaximalAccess"]) == (1, 0x1F01FF)


def test_create_request_with_contexts() -> None:
    request = CreateRequest(
        "dir\\file.vhdx",
        0x12019F,
        7,
        create_contexts=(
            (cc.QUERY_MAXIMAL_ACCESS, b""),
            (cc.REQUEST_LEASE, cc.LeaseV2(GUID, 7).pack()),
            (cc.DURABLE_HANDLE_REQUEST_V2, cc.DurableHandleRequestV2(60000, 0, GUID).pack()),
        ),
    )
    peer = theirs(peer_open.SMB2CreateRequest, request.pack())
    assert peer["buffer_path"].get_value().decode("utf-16-le") == "dir\\file.vhdx"
    contexts = peer["buffer_contexts"].get_value()
    assert [context["buffer_name"].get_value() for context in contexts] == [b"MxAc", b"RqLs", b"DH2Q"]
    assert ours(CreateRequest, peer.pack()) == request
    parsed = impacket.SMB2Create(request.pack())
    assert parsed["DesiredAccess"] == 0x12019F


def test_create_request_that_they_write() -> None:
    lease = peer_contexts.SMB2CreateRequestLeaseV2()
    lease["lease_key"] = GUID
    lease["lease_state"] = peer_contexts.LeaseState.SMB2_LEASE_READ_CACHING
    lease["parent_lease_key"] = bytes(16)
    lease["epoch"] = bytes(2)
    context = peer_contexts.SMB2CreateContextRequest()
    context["buffer_name"] = b"RqLs"
    context["buffer_data"] = lease
    request = peer_open.SMB2CreateRequest()
    request["buffer_path"] = "name".encode("utf-16-le")
    request["impersonation_level"] = 2
    request["create_disposition"] = 1
    request["share_access"] = 7
    request["buffer_contexts"] = [context]
    read = ours(CreateRequest, request.pack())
    data = cc.find_create_context(read.create_contexts, cc.REQUEST_LEASE)
    assert data is not None
    assert cc.unpack_lease(data) == cc.LeaseV2(GUID, cc.LeaseState.READ_CACHING)


def test_create_response() -> None:
    contexts = ((cc.QUERY_ON_DISK_ID, cc.QueryOnDiskIdResponse(7, 8).pack()),)
    response = CreateResponse(FID, 1, TIME, TIME, TIME, TIME, 4096, 100, 0x20, create_contexts=contexts)
    peer = theirs(peer_open.SMB2CreateResponse, response.pack())
    assert peer["file_id"].get_value() == FID_BYTES
    assert peer["end_of_file"].get_value() == 100
    assert peer["buffer"].get_value()[0]["buffer_name"].get_value() == b"QFid"
    assert ours(CreateResponse, peer.pack()) == response
    parsed = impacket.SMB2Create_Response(response.pack())
    assert parsed["EndOfFile"] == 100


def test_close() -> None:
    assert theirs(peer_open.SMB2CloseRequest, CloseRequest(FID, 1).pack())["file_id"].get_value() == FID_BYTES
    response = CloseResponse(1, TIME, TIME, TIME, TIME, 4096, 100, 0x20)
    assert theirs(peer_open.SMB2CloseResponse, response.pack())["end_of_file"].get_value() == 100


def test_read() -> None:
    request = ReadRequest(FID, 1 << 40, 65536, minimum_count=1)
    peer = theirs(peer_open.SMB2ReadRequest, request.pack())
    assert peer["offset"].get_value() == 1 << 40
    assert peer["length"].get_value() == 65536
    assert ours(ReadRequest, impacket.SMB2Read(request.pack()).getData()).length == 65536
    assert theirs(peer_open.SMB2ReadResponse, ReadResponse(b"data").pack())["buffer"].get_value() == b"data"
    assert impacket.SMB2Read_Response(ReadResponse(b"data").pack())["DataLength"] == 4


def test_write() -> None:
    request = WriteRequest(FID, 512, b"payload", flags=1)
    peer = theirs(peer_open.SMB2WriteRequest, request.pack())
    assert peer["buffer"].get_value() == b"payload"
    assert ours(WriteRequest, peer.pack()) == request
    parsed = impacket.SMB2Write(request.pack())
    assert (parsed["Offset"], parsed["Length"]) == (512, 7)


def test_ioctl() -> None:
    request = IoctlRequest(Fsctl.QUERY_ALLOCATED_RANGES, FID, bytes(32), max_output_response=528)
    peer = theirs(peer_ioctl.SMB2IOCTLRequest, request.pack())
    assert peer["buffer"].get_value() == bytes(32)
    assert peer["max_output_response"].get_value() == 528
    assert ours(IoctlRequest, peer.pack()) == request
    response = IoctlResponse(Fsctl.QUERY_ALLOCATED_RANGES, FID, b"output")
    assert theirs(peer_ioctl.SMB2IOCTLResponse, response.pack())["buffer"].get_value() == b"output"


def test_lock() -> None:
    request = LockRequest(FID, (LockElement(0, 10, 2), LockElement(20, 5, 1)))
    parsed = impacket.SMB2Lock(request.pack())
    assert parsed["LockCount"] == 2
    assert ours(LockRequest, request.pack()) == request


def test_query_directory_and_its_entries() -> None:
    request = QueryDirectoryRequest(FileInformationClass.ID_BOTH_DIRECTORY, FID, "*.vhdx", 4096)
    peer = theirs(peer_open.SMB2QueryDirectoryRequest, request.pack())
    assert peer["buffer"].get_value().decode("utf-16-le") == "*.vhdx"
    assert ours(QueryDirectoryRequest, peer.pack()) == request
    entries = [
        DirectoryInformation("one", 0x20, TIME, TIME, TIME, TIME, 5, 4096, 99),
        DirectoryInformation("second"),
    ]
    wire, _ = pack_entries(FileInformationClass.ID_BOTH_DIRECTORY, entries, 4096)
    listed = theirs(
        peer_info.FileNamesInformation, pack_entries(FileInformationClass.NAMES, entries[:1], 99)[0]
    )
    assert listed["file_name"].get_value().decode("utf-16-le") == "one"
    first = smb.SMBFindFileIdBothDirectoryInfo(smb.SMB.FLAGS2_UNICODE, data=wire)
    assert first["FileName"].decode("utf-16-le") == "one"
    assert (first["FileID"], first["EndOfFile"]) == (99, 5)
    second = smb.SMBFindFileIdBothDirectoryInfo(smb.SMB.FLAGS2_UNICODE, data=wire[first["NextEntryOffset"] :])
    assert second["FileName"].decode("utf-16-le") == "second"
    assert second["NextEntryOffset"] == 0


def test_query_and_set_info() -> None:
    request = QueryInfoRequest(1, 5, FID, 24)
    peer = theirs(peer_open.SMB2QueryInfoRequest, request.pack())
    assert peer["file_info_class"].get_value() == 5
    assert (
        theirs(peer_open.SMB2QueryInfoResponse, QueryInfoResponse(b"info").pack())["buffer"].get_value()
        == b"info"
    )
    rename = FileRenameInformation("new\\name", replace_if_exists=True)
    peer_rename = theirs(peer_info.FileRenameInformation, rename.pack())
    assert peer_rename["replace_if_exists"].get_value() is True
    assert peer_rename["file_name"].get_value() == "new\\name"
    set_request = SetInfoRequest(1, FileRenameInformation.INFO_CLASS, FID, rename.pack())
    assert (
        ours(SetInfoRequest, theirs(peer_open.SMB2SetInfoRequest, set_request.pack()).pack()) == set_request
    )
    basic = FileBasicInformation(TIME, Filetime(0), Filetime(0), Filetime(0), 0x20)
    assert impacket.FILE_BASIC_INFORMATION(basic.pack())["FileAttributes"] == 0x20


def test_fsctl_structures() -> None:
    copy = SrvCopychunkCopy(bytes(24), (SrvCopychunk(1, 2, 3),))
    peer = theirs(peer_ioctl.SMB2SrvCopyChunkCopy, copy.pack())
    assert peer["chunk_count"].get_value() == 1
    assert SrvCopychunkCopy.unpack(peer.pack()) == copy
    validate = ValidateNegotiateInfoRequest(0x7F, GUID, 1, (0x0300, 0x0302))
    peer = theirs(peer_ioctl.SMB2ValidateNegotiateInfoRequest, validate.pack())
    assert peer["dialects"].get_value() == [0x0300, 0x0302]


def test_security_descriptor() -> None:
    acl = Acl((Ace(AceType.ACCESS_ALLOWED, 3, 0x1F01FF, EVERYONE),))
    descriptor = SecurityDescriptor(ADMINISTRATORS, EVERYONE, acl)
    peer = SR_SECURITY_DESCRIPTOR(descriptor.pack())
    assert peer["OwnerSid"].formatCanonical() == "S-1-5-32-544"
    assert peer["Dacl"]["Data"][0]["Ace"]["Mask"]["Mask"] == 0x1F01FF
    assert SecurityDescriptor.unpack(peer.getData()).dacl == acl
