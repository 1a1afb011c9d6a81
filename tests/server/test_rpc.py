"""Named pipes: DCE/RPC as impacket speaks it against our pipe, and what a hostile peer might send."""

import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio
from impacket import uuid as ndr_uuid
from impacket.dcerpc.v5 import rpcrt, srvs, wkst

from odxfs.ntstatus import Status
from odxfs.smb.rpc import pdu
from odxfs.smb.rpc.calls import MAX_STUB_BYTES
from odxfs.smb.rpc.endpoints import open_pipe
from odxfs.smb.rpc.pipe import (
    MAX_CALL_BYTES,
    MAX_FRAGMENTS_PER_WRITE,
    MAX_UNREAD_ANSWERS,
    Interface,
    Pipe,
    PipeError,
)
from odxfs.smb.rpc.srvsvc import (
    IPC_SHARE,
    SPECIAL_SHARE,
    ConnectedUser,
    PublishedShare,
    ServerFacts,
    server_service,
)
from odxfs.smb.rpc.turns import CallTurns
from odxfs.smb.rpc.wkssvc import workstation_service
from tests.support.peer import logged_in
from tests.support.serving import PASSWORD, USER, serve

SHARES = [
    PublishedShare("data", "the disks"),
    PublishedShare("Ablage", ""),
    PublishedShare("IPC$", "pipes", SPECIAL_SHARE | IPC_SHARE),
]


def facts(shares: list[PublishedShare] = SHARES) -> ServerFacts:
    return ServerFacts("ODXFS", "a server", lambda: shares)


def bind_pdu(interface: str = "4b324fc8-1670-01d3-1278-5a47bf6ee188", version: str = "3.0") -> bytes:
    item = rpcrt.CtxItem()
    item["AbstractSyntax"] = ndr_uuid.uuidtup_to_bin((interface, version))
    item["TransferSyntax"] = ndr_uuid.uuidtup_to_bin(("8a885d04-1ceb-11c9-9fe8-08002b104860", "2.0"))
    item["ContextID"] = 0
    item["TransItems"] = 1
    bind = rpcrt.MSRPCBind()
    bind.addCtxItem(item)
    header = rpcrt.MSRPCHeader()
    header["type"] = rpcrt.MSRPC_BIND
    header["pduData"] = bind.getData()
    header["call_id"] = 1
    return bytes(header.get_packet())


def request_pdus(opnum: int, stub: bytes, fragment_bytes: int = 4000) -> bytes:
    pieces = [stub[offset : offset + fragment_bytes] for offset in range(0, len(stub), fragment_bytes)] or [
        b""
    ]
    packed = b""
    for index, piece in enumerate(pieces):
        flags = (1 if index == 0 else 0) | (2 if index == len(pieces) - 1 else 0)
        body = struct.pack("<IHH", len(stub), 0, opnum) + piece
        packed += struct.pack("<BBBB4sHHI", 5, 0, 0, flags, b"\x10\0\0\0", 16 + len(body), 0, 7) + body
    return packed


def bound_pipe(interface: Interface) -> Pipe:
    pipe = Pipe(interface)
    answer, more = pipe.transceive(bind_pdu(str(interface.uuid), f"{interface.major_version}.0"), 4280)
    assert not more
    assert answer[2] == pdu.PduType.BIND_ACK
    assert struct.unpack_from("<H", answer, -24)[0] == pdu.BindResult.ACCEPTED
    return pipe


def read_call(pipe: Pipe) -> bytes:
    """The stub of the whole answer, put together from its fragments."""
    stub = b""
    while True:
        message, more = pipe.read(65536)
        assert not more
        header = pdu.unpack_header(message)
        assert header.kind == pdu.PduType.RESPONSE
        stub += message[24:]
        if header.flags & pdu.LAST_FRAGMENT:
            return stub


def share_enum(level: int) -> Any:
    call = srvs.NetrShareEnum()
    call["ServerName"] = "\\\\server\0"
    call["PreferedMaximumLength"] = 0xFFFFFFFF
    call["InfoStruct"]["Level"] = level
    call["InfoStruct"]["ShareInfo"]["tag"] = level
    call["InfoStruct"]["ShareInfo"][f"Level{level}"]["Buffer"] = srvs.NULL
    call["ResumeHandle"] = srvs.NULL
    return call


def test_shares_are_listed_with_their_comments() -> None:
    pipe = bound_pipe(server_service(facts()))
    pipe.write(request_pdus(15, share_enum(1).getData()))
    answer = srvs.NetrShareEnumResponse(read_call(pipe))
    rows = answer["InfoStruct"]["ShareInfo"]["Level1"]["Buffer"]
    assert answer["ErrorCode"] == 0
    assert [(row["shi1_netname"], row["shi1_remark"], row["shi1_type"]) for row in rows] == [
        ("data\0", "the disks\0", 0),
        ("Ablage\0", "\0", 0),
        ("IPC$\0", "pipes\0", 0x80000003),
    ]


def test_a_share_with_text_that_cannot_be_sent_hides_no_other() -> None:
    odd = PublishedShare("odd", "c\udcff", path="C:\\main\\\udcff")
    described = replace(facts([odd, PublishedShare("data", "the disks")]), is_administrator=True)
    pipe = bound_pipe(server_service(described))
    pipe.write(request_pdus(15, share_enum(2).getData()))
    rows = srvs.NetrShareEnumResponse(read_call(pipe))["InfoStruct"]["ShareInfo"]["Level2"]["Buffer"]
    assert [(row["shi2_netname"], row["shi2_remark"], row["shi2_path"]) for row in rows] == [
        ("odd\0", "c\ufffd\0", "C:\\main\\\ufffd\0"),
        ("data\0", "the disks\0", "\0"),
    ]


def test_a_thousand_shares_come_in_fragments() -> None:
    many = [PublishedShare(f"share{number:04}", "x" * 40) for number in range(1000)]
    pipe = bound_pipe(server_service(facts(many)))
    pipe.write(request_pdus(15, share_enum(1).getData()))
    assert pipe.messages > 1
    answer = srvs.NetrShareEnumResponse(read_call(pipe))
    assert answer["TotalEntries"] == 1000


@pytest.mark.parametrize("level", [2, 502])
def test_levels_for_administrators_are_refused(level: int) -> None:
    pipe = bound_pipe(server_service(facts()))
    pipe.write(request_pdus(15, share_enum(level).getData()))
    assert srvs.NetrShareEnumResponse(read_call(pipe))["ErrorCode"] == 5


def session_enum(client: str | None = None, user: str | None = None) -> bytes:
    call = srvs.NetrSessionEnum()
    call["ServerName"] = call["ResumeHandle"] = srvs.NULL
    call["ClientName"] = srvs.NULL if client is None else client + "\0"
    call["UserName"] = srvs.NULL if user is None else user + "\0"
    call["PreferedMaximumLength"] = 0xFFFFFFFF
    call["InfoStruct"]["Level"] = call["InfoStruct"]["SessionInfo"]["tag"] = 10
    call["InfoStruct"]["SessionInfo"]["Level10"]["Buffer"] = srvs.NULL
    return bytes(call.getData())


def sessions_of(answer: bytes) -> tuple[int, list[tuple[str, int]]]:
    """The status of a list of sessions, and of each the user and its seconds."""
    decoded = srvs.NetrSessionEnumResponse(answer)
    rows = decoded["InfoStruct"]["SessionInfo"]["Level10"]["Buffer"] or []
    return decoded["ErrorCode"], [(row["sesi10_username"][:-1], row["sesi10_time"]) for row in rows]


@pytest.mark.parametrize(
    ("client", "user", "code", "users"),
    [
        (None, None, 0, ["alice", "bob", "alice"]),
        ("", "", 0, ["alice", "bob", "alice"]),
        ("\\\\192.0.2.1", None, 0, ["alice", "bob"]),
        (None, "ALICE", 0, ["alice", "alice"]),
        ("\\\\FD00::1", "alice", 0, ["alice"]),
        ("\\\\192.0.2.9", None, 2312, []),
        ("\\\\fd00::1", "bob", 2221, []),
    ],
)
def test_administrators_see_the_sessions_that_they_ask_for(
    client: str | None, user: str | None, code: int, users: list[str]
) -> None:
    sessions = [
        ConnectedUser("192.0.2.1", "alice", 3, 5),
        ConnectedUser("192.0.2.1", "bob", 0, 5),
        ConnectedUser("fd00::1", "alice", 0, 5),
    ]
    described = replace(facts(), sessions=lambda: sessions, is_administrator=True)
    answer = server_service(described).call(12, session_enum(client, user))
    assert sessions_of(answer) == (code, [(each, 5) for each in users])


async def test_a_session_tells_how_long_it_has_been_there(tmp_path: Path) -> None:
    async with serve(tmp_path) as served, logged_in(served.port, USER, PASSWORD, "IPC$") as peer:
        session = served.server.sessions[peer.session_id]
        session.began_at -= 3600
        pipe = open_pipe("srvsvc", served.server, session)
        pipe.transceive(bind_pdu(), 4280)
        pipe.write(request_pdus(12, session_enum()))
        code, ((user, seconds),) = sessions_of(read_call(pipe))
        assert (code, user) == (0, USER)
        assert 3600 <= seconds < 3700


@pytest.mark.parametrize(("name", "code"), [("DATA", 0), ("nowhere", 2310)])
def test_one_share_is_found_without_case(name: str, code: int) -> None:
    call = srvs.NetrShareGetInfo()
    call["ServerName"], call["NetName"], call["Level"] = "s\0", name + "\0", 1
    pipe = bound_pipe(server_service(facts()))
    pipe.write(request_pdus(16, call.getData()))
    assert srvs.NetrShareGetInfoResponse(read_call(pipe))["ErrorCode"] == code


def test_the_server_and_the_workstation_tell_the_name() -> None:
    call = srvs.NetrServerGetInfo()
    call["ServerName"], call["Level"] = "s\0", 101
    pipe = bound_pipe(server_service(facts()))
    pipe.write(request_pdus(21, call.getData()))
    info = srvs.NetrServerGetInfoResponse(read_call(pipe))["InfoStruct"]["ServerInfo101"]
    assert info["sv101_name"] == "ODXFS\0"
    ask = wkst.NetrWkstaGetInfo()
    ask["ServerName"], ask["Level"] = "s\0", 100
    pipe = bound_pipe(workstation_service(facts()))
    pipe.write(request_pdus(0, ask.getData()))
    answer = wkst.NetrWkstaGetInfoResponse(read_call(pipe))
    assert answer["WkstaInfo"]["WkstaInfo100"]["wki100_computername"] == "ODXFS\0"


def test_a_long_answer_is_read_in_parts() -> None:
    pipe = bound_pipe(server_service(facts()))
    first, more = pipe.transceive(request_pdus(15, share_enum(1).getData()), 50)
    assert (len(first), more) == (50, True)
    rest, more = pipe.read(65536)
    assert not more
    assert len(first + rest) == struct.unpack_from("<H", first, 8)[0]
    with pytest.raises(PipeError) as refused:
        pipe.read(100)
    assert refused.value.status is Status.PIPE_EMPTY


def fault_of(pipe: Pipe) -> int:
    message, _ = pipe.read(65536)
    assert message[2] == pdu.PduType.FAULT
    return int(struct.unpack_from("<I", message, 24)[0])


def test_clients_know_every_fault_by_its_name() -> None:
    """RPC_S_SERVER_UNAVAILABLE, for one, is what a client finds out by itself, and a reason to try again."""
    known = {fault: rpcrt.rpc_status_codes.get(fault, "").strip() for fault in pdu.Fault}
    assert known == {
        pdu.Fault.OPNUM_RANGE: "nca_s_op_rng_error",
        pdu.Fault.UNKNOWN_INTERFACE: "nca_s_unk_if",
        pdu.Fault.PROTOCOL_ERROR: "nca_s_proto_error",
        pdu.Fault.BAD_STUB_DATA: "rpc_x_bad_stub_data",
        pdu.Fault.NO_MEMORY: "nca_s_fault_remote_no_memory",
        pdu.Fault.CONTEXT_MISMATCH: "nca_s_fault_context_mismatch",
        pdu.Fault.CANNOT_PERFORM: "rpc_fault_cant_perform",
    }


def test_unknown_calls_and_bad_stubs_end_in_a_fault() -> None:
    pipe = bound_pipe(server_service(facts()))
    pipe.write(request_pdus(99, b""))
    assert fault_of(pipe) == pdu.Fault.OPNUM_RANGE
    for stub in (b"", b"\xff" * 64, b"\0" * 3, share_enum(1).getData()[:-9]):
        pipe.write(request_pdus(15, stub))
        assert fault_of(pipe) == pdu.Fault.BAD_STUB_DATA


def test_a_call_before_the_bind_ends_in_a_fault() -> None:
    pipe = Pipe(server_service(facts()))
    pipe.write(request_pdus(15, share_enum(1).getData()))
    assert fault_of(pipe) == pdu.Fault.UNKNOWN_INTERFACE


def test_another_interface_is_rejected_in_the_bind() -> None:
    pipe = Pipe(server_service(facts()))
    answer, _ = pipe.transceive(bind_pdu("12345778-1234-abcd-ef00-0123456789ac", "1.0"), 4280)
    assert struct.unpack_from("<HH", answer, -24) == (2, 1)


def test_a_call_may_come_in_fragments_and_in_any_pieces() -> None:
    pipe = bound_pipe(server_service(facts()))
    bytes_of_call = request_pdus(15, share_enum(1).getData(), fragment_bytes=16)
    for offset in range(0, len(bytes_of_call), 7):
        pipe.write(bytes_of_call[offset : offset + 7])
    assert srvs.NetrShareEnumResponse(read_call(pipe))["TotalEntries"] == 3


def test_an_endless_call_is_cut_off() -> None:
    pipe = bound_pipe(server_service(facts()))
    stub = b"\0" * (MAX_CALL_BYTES + 8000)
    pipe.write(request_pdus(15, stub))
    assert fault_of(pipe) == pdu.Fault.NO_MEMORY


def test_a_call_that_never_comes_to_its_end_is_cut_off() -> None:
    pipe = bound_pipe(server_service(facts()))
    fragments = request_pdus(15, b"\0" * (2 * MAX_CALL_BYTES))
    one = 16 + 8 + 4000
    for offset in range(0, MAX_CALL_BYTES + one, one):
        pipe.write(fragments[offset : offset + one])
        assert len(pipe._stub) <= MAX_CALL_BYTES
    assert fault_of(pipe) == pdu.Fault.NO_MEMORY


def test_calls_whose_answers_nobody_reads_come_to_an_end() -> None:
    """A write has room for a hundred thousand calls, and each would hold up everybody for a millisecond."""
    interface = server_service(facts())
    calls: list[int] = []

    def counted(opnum: int, stub: bytes) -> bytes:
        calls.append(opnum)
        return interface.call(opnum, stub)

    pipe = bound_pipe(Interface(interface.endpoint, interface.uuid, interface.major_version, counted))
    with pytest.raises(PipeError, check=lambda error: error.status is Status.INVALID_PIPE_STATE):
        pipe.write(request_pdus(15, share_enum(1).getData()) * 100)
    assert len(calls) == MAX_UNREAD_ANSWERS
    for _ in calls:
        read_call(pipe)
    pipe.write(request_pdus(15, share_enum(1).getData()))
    assert read_call(pipe)


def test_a_write_of_countless_fragments_breaks_the_pipe() -> None:
    pipe = bound_pipe(server_service(facts()))
    cancel = struct.pack("<BBBB4sHHI", 5, 0, pdu.PduType.CANCEL, 3, b"\x10\0\0\0", 16, 0, 7)
    pipe.write(cancel * MAX_FRAGMENTS_PER_WRITE)
    with pytest.raises(PipeError, check=lambda error: error.status is Status.PIPE_BROKEN):
        pipe.write(cancel * (MAX_FRAGMENTS_PER_WRITE + 1))


def test_stubs_that_cannot_be_decoded_do_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    pipe = bound_pipe(server_service(facts()))
    pipe.write(request_pdus(15, b"\xff" * MAX_STUB_BYTES))
    assert fault_of(pipe) == pdu.Fault.BAD_STUB_DATA
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_impacket_sees_no_long_stub(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where each word is a pointer and a count, it takes half a second for 64 KiB."""
    seen: list[int] = []
    decode = srvs.NetrSessionEnum.__init__

    def counted(request: Any, data: bytes) -> None:
        seen.append(len(data))
        decode(request, data)

    monkeypatch.setattr(srvs.NetrSessionEnum, "__init__", counted)
    pipe = bound_pipe(server_service(facts()))
    word = struct.pack("<I", 0x20000)
    for size, fault in (
        (MAX_STUB_BYTES, pdu.Fault.BAD_STUB_DATA),
        (MAX_STUB_BYTES + 4, pdu.Fault.NO_MEMORY),
        (MAX_CALL_BYTES, pdu.Fault.NO_MEMORY),
    ):
        pipe.write(request_pdus(12, (bytes(20) + word * MAX_CALL_BYTES)[:size]))
        assert fault_of(pipe) == fault
    assert seen == [MAX_STUB_BYTES]


def test_others_may_run_between_the_calls_of_one_write() -> None:
    pipe = bound_pipe(server_service(facts()))
    call = request_pdus(15, share_enum(1).getData())
    answered = [pipe.messages for _ in pipe.take(call * 3 + call[:-1])]
    assert answered == [1, 2, 3]
    assert [*pipe.take(call[-1:])] == []
    assert pipe.messages == 4


async def test_the_calls_of_many_writes_take_turns() -> None:
    turns, made = CallTurns(), 0
    at_once: list[int] = []

    def steps() -> Iterator[None]:
        nonlocal made
        for _ in range(5):
            yield
            made += 1

    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(turns.drive, steps())
        while made < 40:
            before = made
            await trio.lowlevel.checkpoint()
            at_once.append(made - before)
    assert max(at_once) == 1


def oversized() -> bytes:
    return struct.pack("<BBBB4sHHI", 5, 0, 0, 3, b"\x10\0\0\0", 60000, 0, 1)


def big_endian() -> bytes:
    return struct.pack(">BBBB4sHHI", 5, 0, 0, 3, b"\0\0\0\0", 24, 0, 1) + bytes(8)


def short_length() -> bytes:
    return struct.pack("<BBBB4sHHI", 5, 0, 0, 3, b"\x10\0\0\0", 3, 0, 1)


def too_many_contexts() -> bytes:
    body = struct.pack("<HHIBBH", 4280, 4280, 0, 255, 0, 0)
    return struct.pack("<BBBB4sHHI", 5, 0, 11, 3, b"\x10\0\0\0", 16 + len(body), 0, 1) + body


@pytest.mark.parametrize("make", [oversized, big_endian, short_length, too_many_contexts])
def test_what_is_not_rpc_breaks_the_pipe(make: Callable[[], bytes]) -> None:
    pipe = Pipe(server_service(facts()))
    with pytest.raises(PipeError) as broken:
        pipe.write(make())
    assert broken.value.status is Status.PIPE_BROKEN
