"""The calls of lsarpc and samr on a client's bytes: bounded, refused and faulted where they make no sense."""

import struct
from pathlib import Path

import pytest
from impacket.dcerpc.v5 import lsad, lsat, samr
from impacket.dcerpc.v5.dtypes import NULL, RPC_UNICODE_STRING
from impacket.dcerpc.v5.ndr import NDRULONG

from odxfs.ntstatus import Status
from odxfs.smb.auth.users import UserStore
from odxfs.smb.rpc.calls import fill_sid
from odxfs.smb.rpc.lists import string_body, string_head
from odxfs.smb.rpc.lsarpc import Authority, security_authority
from odxfs.smb.rpc.pdu import Fault
from odxfs.smb.rpc.pipe import Interface, PipeError, RpcFault
from odxfs.smb.rpc.samr import Manager, account_manager
from odxfs.smb.security.names import BUILTIN, Names
from tests.server.test_rpc import bound_pipe, read_call, request_pdus


@pytest.fixture
def users(tmp_path: Path) -> UserStore:
    store = UserStore(tmp_path)
    store.add("alice", "secret", 0, 0)
    store.add("server", "secret", 5, 5, peer=True)
    return store


@pytest.fixture
def authority(users: UserStore) -> Interface:
    return security_authority(Authority(lambda: Names("BOX", users)))


@pytest.fixture
def manager(users: UserStore) -> Interface:
    return account_manager(Manager(lambda: Names("BOX", users)))


def policy(authority: Interface) -> bytes:
    request = lsad.LsarOpenPolicy2()
    request["SystemName"] = NULL
    request["ObjectAttributes"]["RootDirectory"] = NULL
    request["ObjectAttributes"]["ObjectName"] = NULL
    request["ObjectAttributes"]["SecurityDescriptor"] = NULL
    request["ObjectAttributes"]["SecurityQualityOfService"] = NULL
    request["DesiredAccess"] = 0x02000000
    answer = lsad.LsarOpenPolicy2Response(authority.call(44, request.getData()))
    return bytes(answer["PolicyHandle"])


def open_policies(authority: Interface, count: int) -> None:
    for _ in range(count):
        policy(authority)


def lookup(handle: bytes, names: list[str]) -> bytes:
    request = lsat.LsarLookupNames()
    request["PolicyHandle"] = handle
    request["Count"] = len(names)
    for name in names:
        item = RPC_UNICODE_STRING()
        item["Data"] = name
        request["Names"].append(item)
    request["TranslatedSids"]["Sids"] = NULL
    request["LookupLevel"] = 1
    return bytes(request.getData())


def test_names_are_found_with_and_without_their_domain(authority: Interface) -> None:
    handle = policy(authority)
    answer = lsat.LsarLookupNamesResponse(
        authority.call(
            14, lookup(handle, ["ALICE", r"box\alice", r"builtin\users", "Unix User\\7", "server", "x"])
        )
    )
    sids = answer["TranslatedSids"]["Sids"]
    assert [sid["Use"] for sid in sids] == [1, 1, 4, 1, 8, 8]
    assert [sid["RelativeId"] for sid in sids][:4] == [1000, 1000, 545, 7]
    assert (answer["MappedCount"], answer["ErrorCode"]) == (4, 0x107)


def test_a_domain_is_found_with_its_backslash_and_nothing_is_builtin(authority: Interface) -> None:
    names = ["BUILTIN", "BUILTIN\\", "box\\", "", "\\", "alice\\", "nowhere\\"]
    answer = lsat.LsarLookupNamesResponse(authority.call(14, lookup(policy(authority), names)))
    assert [sid["Use"] for sid in answer["TranslatedSids"]["Sids"]] == [3, 3, 3, 3, 3, 8, 8]


@pytest.mark.parametrize("number", ["4294967296", "9" * 5000, "0x7", "-7", "\u0667"])
def test_a_number_that_is_no_uid_is_nobody_and_keeps_no_other_name_from_being_found(
    authority: Interface, number: str
) -> None:
    names = ["alice", f"Unix User\\{number}"]
    answer = lsat.LsarLookupNamesResponse(authority.call(14, lookup(policy(authority), names)))
    assert [sid["Use"] for sid in answer["TranslatedSids"]["Sids"]] == [1, 8]


def test_a_handle_is_good_until_it_is_closed_and_on_its_own_pipe(
    authority: Interface, users: UserStore
) -> None:
    handle = policy(authority)
    close = lsad.LsarClose()
    close["ObjectHandle"] = handle
    other = security_authority(Authority(lambda: Names("BOX", users)))
    with pytest.raises(RpcFault) as fault:
        other.call(14, lookup(handle, ["alice"]))
    assert fault.value.code is Fault.CONTEXT_MISMATCH
    authority.call(0, close.getData())
    with pytest.raises(RpcFault) as fault:
        authority.call(14, lookup(handle, ["alice"]))
    assert fault.value.code is Fault.CONTEXT_MISMATCH


def test_handles_and_names_are_bounded(authority: Interface) -> None:
    handle = policy(authority)
    with pytest.raises(RpcFault) as fault:
        authority.call(14, lookup(handle, ["x"] * 1001))
    assert fault.value.code is Fault.NO_MEMORY
    with pytest.raises(RpcFault) as fault:
        open_policies(authority, 1000)
    assert fault.value.code is Fault.NO_MEMORY


def test_a_list_is_read_without_impacket(authority: Interface, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand SIDs have two thousand pointers and counts, of which it makes an object each."""
    handle, names = policy(authority), ["alice"] * 1000
    stub = lookup(handle, names)
    for structure in (lsat.LsarLookupNames, lsat.LSA_TRANSLATED_SID):
        monkeypatch.setattr(structure, "__init__", None)
    answer = authority.call(14, stub)
    monkeypatch.undo()
    decoded = lsat.LsarLookupNamesResponse(answer)
    assert [sid["RelativeId"] for sid in decoded["TranslatedSids"]["Sids"]] == [1000] * 1000
    assert (decoded["MappedCount"], decoded["ErrorCode"]) == (1000, 0)


def sid_stub(handle: bytes, parts: int, said: int, pointer: int = 0x20004) -> bytes:
    """LsarLookupSids of one SID that has `parts` sub-authorities and says that it has `said`."""
    array = struct.pack("<IIII", 1, 0x20000, 1, pointer)
    sid = struct.pack("<IBB6s", parts, 1, said, bytes(5) + b"\5") + bytes(4 * parts)
    return handle + array + sid + bytes(16)


@pytest.mark.parametrize(
    ("parts", "said", "pointer"), [(16, 16, 1), (255, 255, 1), (2, 1, 1), (1, 2, 1), (1, 1, 0)]
)
def test_a_sid_with_too_many_parts_is_none(authority: Interface, parts: int, said: int, pointer: int) -> None:
    handle = policy(authority)
    assert authority.call(15, sid_stub(handle, 1, 1))
    with pytest.raises(RpcFault) as fault:
        authority.call(15, sid_stub(handle, parts, said, pointer))
    assert fault.value.code is Fault.BAD_STUB_DATA


def test_a_pipe_keeps_few_long_answers_that_nobody_reads(authority: Interface) -> None:
    """Whoever is nobody is named by his SID: five times as long as the SID itself."""
    sid = struct.pack("<IBB6s", 15, 1, 15, bytes(5) + b"\5") + bytes.fromhex("ffffffff") * 15
    stub = policy(authority) + struct.pack("<III", 800, 1, 800) + struct.pack("<I", 1) * 800 + sid * 800
    pipe = bound_pipe(authority)
    with pytest.raises(PipeError, check=lambda error: error.status is Status.INVALID_PIPE_STATE):
        pipe.write(request_pdus(15, stub + bytes(16)) * 8)
    assert pipe.waiting_bytes < 512 * 1024
    answer = lsat.LsarLookupSidsResponse(read_call(pipe))
    assert answer["ErrorCode"] == 0xC0000073
    pipe.write(request_pdus(15, stub + bytes(16)))


def server_handle(manager: Interface) -> bytes:
    connect = samr.SamrConnect2()
    connect["ServerName"] = "x\0"
    connect["DesiredAccess"] = 0
    return bytes(samr.SamrConnect2Response(manager.call(57, connect.getData()))["ServerHandle"])


def own_domain(manager: Interface, users: UserStore) -> bytes:
    """A handle of the domain of the server's own accounts."""
    request = samr.SamrOpenDomain()
    request["ServerHandle"] = server_handle(manager)
    request["DesiredAccess"] = 0
    machine = Names("BOX", users).machine
    assert machine is not None
    fill_sid(request["DomainId"], machine)
    return bytes(samr.SamrOpenDomainResponse(manager.call(7, request.getData()))["DomainHandle"])


def varying(handle: bytes, count: int, body: bytes, offset: int = 0) -> bytes:
    """A handle, and an array of which `count` items are there (C706 14.3.3.3)."""
    return handle + struct.pack("<IIII", count, 1000, offset, count) + body


def packed_names(*names: str) -> bytes:
    heads, bodies = [string_head(name) for name in names], [string_body(name) for name in names]
    return b"".join(heads + bodies)


def test_accounts_of_a_domain_are_looked_up_by_name_and_by_number(
    manager: Interface, users: UserStore
) -> None:
    handle = own_domain(manager, users)
    names = varying(handle, 3, packed_names("ALICE", "", "nobody"))
    by_name = samr.SamrLookupNamesInDomainResponse(manager.call(17, names))
    assert [each["Data"] for each in by_name["RelativeIds"]["Element"]] == [1000, 0, 0]
    by_number = samr.SamrLookupIdsInDomainResponse(
        manager.call(18, varying(handle, 2, struct.pack("<II", 5, 1000)))
    )
    assert [each["Data"] for each in by_number["Use"]["Element"]] == [8, 1]
    assert by_number["Names"]["Element"][1]["Data"] == "alice"


def members_of_users(manager: Interface) -> bytes:
    """A SamrGetMembersInAlias that asks who is in BUILTIN\\Users: everybody."""
    domain = samr.SamrOpenDomain()
    domain["ServerHandle"], domain["DesiredAccess"] = server_handle(manager), 0
    fill_sid(domain["DomainId"], BUILTIN)
    alias = samr.SamrOpenAlias()
    alias["DomainHandle"] = samr.SamrOpenDomainResponse(manager.call(7, domain.getData()))["DomainHandle"]
    alias["DesiredAccess"], alias["AliasId"] = 0, 545
    request = samr.SamrGetMembersInAlias()
    request["AliasHandle"] = samr.SamrOpenAliasResponse(manager.call(27, alias.getData()))["AliasHandle"]
    return bytes(request.getData())


def test_long_answers_are_packed_without_impacket(
    manager: Interface, users: UserStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes a tenth of a millisecond for each user and number, in which all else waits."""
    users.add("bob", "secret", 7, 7)
    by_number = varying(own_domain(manager, users), 1000, struct.pack("<II", 1000, 5) * 500)
    by_alias = members_of_users(manager)
    for structure in (NDRULONG, RPC_UNICODE_STRING, samr.PSAMPR_SID_INFORMATION):
        monkeypatch.setattr(structure, "__init__", None)
    found, members = manager.call(18, by_number), manager.call(33, by_alias)
    monkeypatch.undo()
    names = samr.SamrLookupIdsInDomainResponse(found)
    assert [each["Data"] for each in names["Names"]["Element"]] == ["alice", b""] * 500
    assert [each["Data"] for each in names["Use"]["Element"]] == [1, 8] * 500
    assert names["ErrorCode"] == 0x107
    decoded = samr.SamrGetMembersInAliasResponse(members)
    sids = [each["SidPointer"].formatCanonical() for each in decoded["Members"]["Sids"]]
    assert (sids, decoded["ErrorCode"]) == ([user.sid for user in users.list() if not user.peer], 0)


@pytest.mark.parametrize(
    ("count", "body", "offset", "fault"),
    [
        (1001, struct.pack("<I", 1) * 1001, 0, Fault.NO_MEMORY),
        (1, struct.pack("<I", 1), 1, Fault.BAD_STUB_DATA),
        (2, struct.pack("<I", 1), 0, Fault.BAD_STUB_DATA),
    ],
)
def test_a_list_of_another_length_than_it_says_is_a_fault(
    manager: Interface, users: UserStore, count: int, body: bytes, offset: int, fault: Fault
) -> None:
    stub = bytearray(varying(own_domain(manager, users), count, body, offset))
    struct.pack_into("<I", stub, 24, 2000)
    with pytest.raises(RpcFault) as raised:
        manager.call(18, bytes(stub))
    assert raised.value.code is fault


def test_a_handle_of_one_kind_is_none_of_another(manager: Interface) -> None:
    server = server_handle(manager)
    for opnum, request, name in (
        (13, samr.SamrEnumerateUsersInDomain(), "DomainHandle"),
        (36, samr.SamrQueryInformationUser(), "UserHandle"),
        (33, samr.SamrGetMembersInAlias(), "AliasHandle"),
    ):
        request[name] = server
        if opnum == 36:
            request["UserInformationClass"] = 21
        with pytest.raises(RpcFault) as fault:
            manager.call(opnum, request.getData())
        assert fault.value.code is Fault.CONTEXT_MISMATCH


def test_lengths_of_names_are_in_units_of_utf_16(manager: Interface, users: UserStore) -> None:
    """One name that is longer than it says spoils the whole list."""
    users.add("a😀b", "secret", 7, 7)
    request = samr.SamrEnumerateUsersInDomain()
    request["DomainHandle"] = own_domain(manager, users)
    request["EnumerationContext"], request["PreferedMaximumLength"] = 0, 0xFFFF
    request["UserAccountControl"] = 0
    answer = samr.SamrEnumerateUsersInDomainResponse(manager.call(13, request.getData()))
    names = [entry.fields["Name"] for entry in answer["Buffer"]["Buffer"]]
    lengths = {name["Data"]: (name["Length"], name["MaximumLength"]) for name in names}
    assert lengths == {"alice": (10, 10), "a😀b": (8, 8)}


@pytest.mark.parametrize("of_domain", [False, True])
def test_domains_are_told_to_who_has_opened_the_server(
    manager: Interface, users: UserStore, of_domain: bool
) -> None:
    other = own_domain(manager, users) if of_domain else bytes(20)
    enumerate_domains, look_up, open_domain = (
        samr.SamrEnumerateDomainsInSamServer(),
        samr.SamrLookupDomainInSamServer(),
        samr.SamrOpenDomain(),
    )
    look_up["Name"] = "BUILTIN"
    fill_sid(open_domain["DomainId"], BUILTIN)
    for opnum, request in ((6, enumerate_domains), (5, look_up), (7, open_domain)):
        request["ServerHandle"] = server_handle(manager)
        assert manager.call(opnum, request.getData())
        request["ServerHandle"] = other
        with pytest.raises(RpcFault) as fault:
            manager.call(opnum, request.getData())
        assert fault.value.code is Fault.CONTEXT_MISMATCH


def test_whatever_a_stub_is_the_answer_is_an_answer_or_a_fault(
    authority: Interface, manager: Interface
) -> None:
    handle = policy(authority)
    stubs = [b"", b"\xff" * 64, bytes(64), lookup(handle, ["alice"])[:-9], handle + b"\x01\0\0\0" * 40]
    for interface in (authority, manager):
        for opnum in range(80):
            for stub in stubs:
                try:
                    assert isinstance(interface.call(opnum, stub), bytes)
                except RpcFault:
                    continue


@pytest.mark.parametrize(("bits", "names"), [(0, ["alice"]), (0x10, ["alice"]), (0x80, []), (0x90, [])])
def test_users_are_listed_to_who_asks_for_users(
    manager: Interface, users: UserStore, bits: int, names: list[str]
) -> None:
    """USER_NORMAL_ACCOUNT is 0x10; 0x80 asks for computers, which are members of a domain."""
    request = samr.SamrEnumerateUsersInDomain()
    request["DomainHandle"] = own_domain(manager, users)
    request["EnumerationContext"], request["PreferedMaximumLength"] = 0, 0xFFFF
    request["UserAccountControl"] = bits
    answer = samr.SamrEnumerateUsersInDomainResponse(manager.call(13, request.getData()))
    assert answer["ErrorCode"] == 0
    assert answer["CountReturned"] == len(names)
    assert [entry["Name"] for entry in answer["Buffer"]["Buffer"] or []] == names
