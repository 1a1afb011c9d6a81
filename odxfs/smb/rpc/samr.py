"""The account manager, MS-SAMR: the users and groups of this server, for who wants to choose one of them.

Everything is for reading, and for everybody who has logged in; accounts are made with `odxfs user` and `odxfs group`. There
are two domains: the server's own, with users and with groups as aliases, and BUILTIN.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias
from uuid import UUID

from impacket.dcerpc.v5 import samr
from impacket.dcerpc.v5.dtypes import NULL
from impacket.dcerpc.v5.ndr import NDRCALL

from odxfs.smb.rpc.calls import Calls, Ndr, fill_sid, fill_text, interface, read_sid, text
from odxfs.smb.rpc.handles import NO_HANDLE, Handles
from odxfs.smb.rpc.lists import (
    ListRequest,
    names_of_domain,
    numbers_of_domain,
    pack_list,
    pack_number,
    pack_numbers,
    pack_sids,
    sids_of_lookup,
    string_body,
    string_head,
)
from odxfs.smb.rpc.lsarpc import NONE_MAPPED, SOME_NOT_MAPPED, SUCCESS
from odxfs.smb.rpc.pdu import Fault
from odxfs.smb.rpc.pipe import Interface, RpcFault
from odxfs.smb.security.names import BUILTIN, BUILTIN_NAME, Account, Names, SidUse
from odxfs.wire.fscc.sid import ADMINISTRATORS, Sid

SAMR_UUID = UUID("12345778-1234-abcd-ef00-0123456789ac")

MORE_ENTRIES = 0x00000105
INVALID_HANDLE, ACCESS_DENIED, INVALID_INFO_CLASS = 0xC0000008, 0xC0000022, 0xC0000003
NO_SUCH_USER, NO_SUCH_DOMAIN, NO_SUCH_ALIAS = 0xC0000064, 0xC00000DF, 0xC0000151

DOMAIN_USERS_RID = 513
ACCOUNT_CONTROL = 0x10 | 0x200
"""USER_NORMAL_ACCOUNT and USER_DONT_EXPIRE_PASSWORD: what every user is (MS-SAMR 2.2.1.12)."""
NEVER_LOW, NEVER_HIGH = 0xFFFFFFFF, 0x7FFFFFFF
GROUP_IS_IN_FORCE = 0x7
"""SE_GROUP_MANDATORY, _ENABLED_BY_DEFAULT and _ENABLED."""

PAGE_ENTRIES = 256
"""Accounts of one answer of an enumeration: impacket packs one in a tenth of a millisecond."""


@dataclass(frozen=True, slots=True)
class _Server:
    """An opened server."""


@dataclass(frozen=True, slots=True)
class _Domain:
    """An opened domain: the server's own, or BUILTIN."""

    sid: Sid


@dataclass(frozen=True, slots=True)
class _User:
    """An opened user."""

    account: Account


@dataclass(frozen=True, slots=True)
class _Alias:
    """An opened local group."""

    account: Account


_Opened: TypeAlias = _Server | _Domain | _User | _Alias


@dataclass(slots=True)
class Manager:
    """What the calls of one pipe share; `names` is asked once a call."""

    names: Callable[[], Names]
    handles: Handles[_Opened] = field(default_factory=Handles)


class _CloseHandle(NDRCALL):  # type: ignore[misc]
    """SamrCloseHandle as MS-SAMR 3.1.5.13.1 has it: impacket's has a field more."""

    opnum = 1
    structure = (("SamHandle", samr.SAMPR_HANDLE),)


def account_manager(manager: Manager) -> Interface:
    """The interface behind `\\\\PIPE\\\\samr`."""
    return interface("samr", SAMR_UUID, 1, _CALLS, manager, _LISTS)


def _opened(manager: Manager, handle: Ndr) -> _Opened:
    return manager.handles.find(bytes(handle))


def _domain(manager: Manager, handle: Ndr) -> _Domain:
    found = _opened(manager, handle)
    if not isinstance(found, _Domain):
        raise RpcFault(Fault.CONTEXT_MISMATCH)
    return found


def _need_server(manager: Manager, handle: Ndr) -> None:
    if not isinstance(_opened(manager, handle), _Server):
        raise RpcFault(Fault.CONTEXT_MISMATCH)


def _accounts(names: Names, domain: _Domain) -> list[Account]:
    """Users and aliases of a domain."""
    return names.aliases() if domain.sid == BUILTIN else [*names.users, *names.groups]


def _connect(response: type[Ndr]) -> Callable[[Manager, Ndr], Ndr]:
    def answer(manager: Manager, request: Ndr) -> Ndr:
        """MS-SAMR 3.1.5.1."""
        made = response()
        made["ServerHandle"] = manager.handles.new(_Server())
        made["ErrorCode"] = SUCCESS
        return made

    return answer


def _connect5(manager: Manager, request: Ndr) -> Ndr:
    response = samr.SamrConnect5Response()
    response["OutVersion"] = 1
    response["OutRevisionInfo"]["tag"] = 1
    response["OutRevisionInfo"]["V1"]["Revision"] = 3
    response["OutRevisionInfo"]["V1"]["SupportedFeatures"] = 0
    response["ServerHandle"] = manager.handles.new(_Server())
    response["ErrorCode"] = SUCCESS
    return response


def _close(manager: Manager, request: Ndr) -> Ndr:
    manager.handles.close(bytes(request["SamHandle"]))
    response = samr.SamrCloseHandleResponse()
    response["SamHandle"] = NO_HANDLE
    response["ErrorCode"] = SUCCESS
    return response


def _domains(names: Names) -> list[tuple[str, Sid]]:
    own = [] if names.machine is None else [(names.server_name, names.machine)]
    return [*own, (BUILTIN_NAME, BUILTIN)]


def _enumerate_domains(manager: Manager, request: Ndr) -> Ndr:
    """MS-SAMR 3.1.5.2.1; domains have no number."""
    _need_server(manager, request["ServerHandle"])
    names = manager.names()
    entries = [(0, name) for name, _ in _domains(names)]
    return _page(samr.SamrEnumerateDomainsInSamServerResponse(), entries, int(request["EnumerationContext"]))


def _page(response: Ndr, entries: list[tuple[int, str]], start: int) -> Ndr:
    """The next entries of an enumeration, whose context is how many have been told."""
    page = entries[start : start + PAGE_ENTRIES]
    for rid, name in page:
        entry = samr.SAMPR_RID_ENUMERATION()
        entry["RelativeId"] = rid
        fill_text(entry, "Name", name)
        response["Buffer"]["Buffer"].append(entry)
    if not page:
        response["Buffer"]["Buffer"] = NULL
    response["Buffer"]["EntriesRead"] = response["CountReturned"] = len(page)
    response["EnumerationContext"] = start + len(page)
    response["ErrorCode"] = MORE_ENTRIES if start + len(page) < len(entries) else SUCCESS
    return response


def _lookup_domain(manager: Manager, request: Ndr) -> Ndr:
    """MS-SAMR 3.1.5.11.1."""
    _need_server(manager, request["ServerHandle"])
    wanted = text(request["Name"]).casefold()
    found = next((sid for name, sid in _domains(manager.names()) if name.casefold() == wanted), None)
    response = samr.SamrLookupDomainInSamServerResponse()
    if found is None:
        response["DomainId"] = NULL
    else:
        fill_sid(response["DomainId"], found)
    response["ErrorCode"] = NO_SUCH_DOMAIN if found is None else SUCCESS
    return response


def _open_domain(manager: Manager, request: Ndr) -> Ndr:
    """MS-SAMR 3.1.5.1.5."""
    _need_server(manager, request["ServerHandle"])
    wanted = read_sid(request["DomainId"])
    known = any(sid == wanted for _, sid in _domains(manager.names()))
    response = samr.SamrOpenDomainResponse()
    response["DomainHandle"] = manager.handles.new(_Domain(wanted)) if known else NO_HANDLE
    response["ErrorCode"] = SUCCESS if known else NO_SUCH_DOMAIN
    return response


def _enumerate_users(manager: Manager, request: Ndr) -> Ndr:
    """MS-SAMR 3.1.5.2.5: the users who have all of the bits that are asked for. So nobody is taken for a computer."""
    asked = int(request["UserAccountControl"])
    kind = SidUse.USER if asked & ~ACCOUNT_CONTROL == 0 else None
    return _enumerate(manager, request, samr.SamrEnumerateUsersInDomainResponse(), kind)


def _enumerate_aliases(manager: Manager, request: Ndr) -> Ndr:
    """MS-SAMR 3.1.5.2.4."""
    return _enumerate(manager, request, samr.SamrEnumerateAliasesInDomainResponse(), SidUse.ALIAS)


def _enumerate_groups(manager: Manager, request: Ndr) -> Ndr:
    """MS-SAMR 3.1.5.2.3: there are none that are not aliases."""
    return _enumerate(manager, request, samr.SamrEnumerateGroupsInDomainResponse(), None)


def _enumerate(manager: Manager, request: Ndr, response: Ndr, use: SidUse | None) -> Ndr:
    """MS-SAMR 3.1.5.2.2; no account is of the kind None."""
    accounts = _accounts(manager.names(), _domain(manager, request["DomainHandle"]))
    entries = [(account.rid, account.name) for account in accounts if account.use is use]
    return _page(response, entries, int(request["EnumerationContext"]))


def _lookup_names(manager: Manager, request: ListRequest[str]) -> bytes:
    """MS-SAMR 3.1.5.11.2."""
    known = {
        each.name.casefold(): each for each in _accounts(manager.names(), _domain(manager, request.handle))
    }
    found = [known.get(name.casefold()) for name in request.items]
    numbers = pack_numbers([0 if each is None else each.rid for each in found])
    return numbers + _uses(found) + pack_number(_mapped(found))


def _lookup_ids(manager: Manager, request: ListRequest[int]) -> bytes:
    """MS-SAMR 3.1.5.11.3."""
    known = {each.rid: each for each in _accounts(manager.names(), _domain(manager, request.handle))}
    found = [known.get(rid) for rid in request.items]
    names = ["" if each is None else each.name for each in found]
    packed = pack_list([string_head(name) for name in names], [string_body(name) for name in names])
    return packed + _uses(found) + pack_number(_mapped(found))


def _uses(found: list[Account | None]) -> bytes:
    return pack_numbers([SidUse.UNKNOWN if each is None else each.use for each in found])


def _mapped(found: list[Account | None]) -> int:
    count = sum(each is not None for each in found)
    return NONE_MAPPED if not count else SUCCESS if count == len(found) else SOME_NOT_MAPPED


def _open_user(manager: Manager, request: Ndr) -> Ndr:
    """MS-SAMR 3.1.5.1.9."""
    account = _of_rid(manager, request, int(request["UserId"]), SidUse.USER)
    response = samr.SamrOpenUserResponse()
    response["UserHandle"] = NO_HANDLE if account is None else manager.handles.new(_User(account))
    response["ErrorCode"] = NO_SUCH_USER if account is None else SUCCESS
    return response


def _open_alias(manager: Manager, request: Ndr) -> Ndr:
    """MS-SAMR 3.1.5.1.8."""
    account = _of_rid(manager, request, int(request["AliasId"]), SidUse.ALIAS)
    response = samr.SamrOpenAliasResponse()
    response["AliasHandle"] = NO_HANDLE if account is None else manager.handles.new(_Alias(account))
    response["ErrorCode"] = NO_SUCH_ALIAS if account is None else SUCCESS
    return response


def _of_rid(manager: Manager, request: Ndr, rid: int, use: SidUse) -> Account | None:
    accounts = _accounts(manager.names(), _domain(manager, request["DomainHandle"]))
    return next((each for each in accounts if each.rid == rid and each.use is use), None)


def _user(manager: Manager, request: Ndr) -> Account:
    found = _opened(manager, request["UserHandle"])
    if not isinstance(found, _User):
        raise RpcFault(Fault.CONTEXT_MISMATCH)
    return found.account


def _query_user(response: type[Ndr]) -> Callable[[Manager, Ndr], Ndr]:
    def answer(manager: Manager, request: Ndr) -> Ndr:
        """MS-SAMR 3.1.5.5.5: name and number, and that the account is one like others. Nothing of the password is told."""
        account, level = _user(manager, request), int(request["UserInformationClass"])
        made = response()
        if level not in _USER_LEVELS:
            made["Buffer"] = NULL
            made["ErrorCode"] = INVALID_INFO_CLASS
            return made
        made["Buffer"]["tag"] = level
        _USER_LEVELS[level](account, made["Buffer"])
        made["ErrorCode"] = SUCCESS
        return made

    return answer


def _user_general(account: Account, buffer: Ndr) -> None:
    _fill_strings(buffer["General"], account, ("UserName",), ("FullName", "AdminComment", "UserComment"))
    buffer["General"]["PrimaryGroupId"] = DOMAIN_USERS_RID


def _user_name(account: Account, buffer: Ndr) -> None:
    _fill_strings(buffer["Name"], account, ("UserName",), ("FullName",))


def _user_account_name(account: Account, buffer: Ndr) -> None:
    _fill_strings(buffer["AccountName"], account, ("UserName",), ())


def _user_full_name(account: Account, buffer: Ndr) -> None:
    _fill_strings(buffer["FullName"], account, (), ("FullName",))


def _user_primary_group(account: Account, buffer: Ndr) -> None:
    buffer["PrimaryGroup"]["PrimaryGroupId"] = DOMAIN_USERS_RID


def _user_control(account: Account, buffer: Ndr) -> None:
    buffer["Control"]["UserAccountControl"] = ACCOUNT_CONTROL


def _user_all(account: Account, buffer: Ndr) -> None:
    every = buffer["All"]
    _fill_strings(every, account, ("UserName",), _EMPTY)
    for name in ("LastLogon", "LastLogoff", "PasswordLastSet", "PasswordCanChange"):
        every[name]["LowPart"], every[name]["HighPart"] = 0, 0
    for name in ("AccountExpires", "PasswordMustChange"):
        every[name]["LowPart"], every[name]["HighPart"] = NEVER_LOW, NEVER_HIGH
    for name in ("LmOwfPassword", "NtOwfPassword"):
        every[name]["Buffer"] = NULL
        every[name]["Length"] = every[name]["MaximumLength"] = 0
    every["SecurityDescriptor"]["Length"] = 0
    every["SecurityDescriptor"]["SecurityDescriptor"] = NULL
    every["UserId"], every["PrimaryGroupId"] = account.rid, DOMAIN_USERS_RID
    every["UserAccountControl"] = ACCOUNT_CONTROL
    every["WhichFields"] = 0x00FFFFFF
    every["LogonHours"]["UnitsPerWeek"] = 0
    every["LogonHours"]["LogonHours"] = NULL
    for name in _ZEROS:
        every[name] = 0


_EMPTY = (
    "FullName", "HomeDirectory", "HomeDirectoryDrive", "ScriptPath", "ProfilePath", "AdminComment", "WorkStations",
    "UserComment", "Parameters", "PrivateData",
)  # fmt: skip
_ZEROS = (
    "BadPasswordCount", "LogonCount", "CountryCode", "CodePage", "LmPasswordPresent", "NtPasswordPresent",
    "PasswordExpired", "PrivateDataSensitive",
)  # fmt: skip


def _fill_strings(structure: Ndr, account: Account, named: tuple[str, ...], empty: tuple[str, ...]) -> None:
    for name in named:
        fill_text(structure, name, account.name)
    for name in empty:
        structure[name] = NULL


_USER_LEVELS: dict[int, Callable[[Account, Ndr], None]] = {
    1: _user_general,
    6: _user_name,
    7: _user_account_name,
    8: _user_full_name,
    9: _user_primary_group,
    16: _user_control,
    21: _user_all,
}


def _groups_of_user(manager: Manager, request: Ndr) -> Ndr:
    """MS-SAMR 3.1.5.9.1: everybody is in Domain Users and in no other group that is not an alias."""
    _user(manager, request)
    response = samr.SamrGetGroupsForUserResponse()
    membership = samr.GROUP_MEMBERSHIP()
    membership["RelativeId"], membership["Attributes"] = DOMAIN_USERS_RID, GROUP_IS_IN_FORCE
    response["Groups"]["MembershipCount"] = 1
    response["Groups"]["Groups"].append(membership)
    response["ErrorCode"] = SUCCESS
    return response


def _alias_membership(manager: Manager, request: ListRequest[Sid]) -> bytes:
    """MS-SAMR 3.1.5.9.2: the aliases of the domain that any of these SIDs is in."""
    domain, names = _domain(manager, request.handle), manager.names()
    sids = set(request.items)
    if domain.sid == BUILTIN:
        rids = [544] if sids & names.administrators else []
        rids += [545] if sids & {account.sid for account in names.users} else []
    else:
        rids = [alias.rid for alias in names.groups if sids & set(names.members.get(alias.sid, ()))]
    return pack_numbers(rids) + pack_number(SUCCESS)


def _alias_members(manager: Manager, request: Ndr) -> bytes:
    """MS-SAMR 3.1.5.8.3."""
    found = _opened(manager, request["AliasHandle"])
    if not isinstance(found, _Alias):
        raise RpcFault(Fault.CONTEXT_MISMATCH)
    return pack_sids(_members(manager.names(), found.account)) + pack_number(SUCCESS)


def _members(names: Names, alias: Account) -> list[Sid]:
    if alias.sid == ADMINISTRATORS:
        return sorted(names.administrators)
    if alias.domain == BUILTIN:
        return [account.sid for account in names.users] if alias.rid == 545 else []
    return names.members.get(alias.sid, [])


_CALLS: Calls[Manager] = {
    structure.opnum: (structure, answer)
    for structure, answer in (
        (samr.SamrConnect, _connect(samr.SamrConnectResponse)),
        (samr.SamrConnect2, _connect(samr.SamrConnect2Response)),
        (samr.SamrConnect4, _connect(samr.SamrConnect4Response)),
        (samr.SamrConnect5, _connect5),
        (_CloseHandle, _close),
        (samr.SamrEnumerateDomainsInSamServer, _enumerate_domains),
        (samr.SamrLookupDomainInSamServer, _lookup_domain),
        (samr.SamrOpenDomain, _open_domain),
        (samr.SamrEnumerateUsersInDomain, _enumerate_users),
        (samr.SamrEnumerateAliasesInDomain, _enumerate_aliases),
        (samr.SamrEnumerateGroupsInDomain, _enumerate_groups),
        (samr.SamrOpenUser, _open_user),
        (samr.SamrOpenAlias, _open_alias),
        (samr.SamrQueryInformationUser, _query_user(samr.SamrQueryInformationUserResponse)),
        (samr.SamrQueryInformationUser2, _query_user(samr.SamrQueryInformationUser2Response)),
        (samr.SamrGetGroupsForUser, _groups_of_user),
        (samr.SamrGetMembersInAlias, _alias_members),
    )
}

_LISTS: Calls[Manager] = {
    samr.SamrLookupNamesInDomain.opnum: (names_of_domain, _lookup_names),
    samr.SamrLookupIdsInDomain.opnum: (numbers_of_domain, _lookup_ids),
    samr.SamrGetAliasMembership.opnum: (sids_of_lookup, _alias_membership),
}
