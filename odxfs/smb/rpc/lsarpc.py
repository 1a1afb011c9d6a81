"""The local security authority, MS-LSAT and MS-LSAD: names for SIDs, SIDs for names, and who holds which privilege.

Everything is for reading, and for everybody who has logged in, as on Windows. What would change policy is no call here, nor are
LsarLookupNames4 and LsarLookupSids3, which MS-LSAT keeps for secure channels over TCP.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from struct import Struct
from uuid import UUID

from impacket.dcerpc.v5 import lsad, lsat
from impacket.dcerpc.v5.dtypes import NULL, RPC_UNICODE_STRING
from impacket.dcerpc.v5.ndr import NDRCALL

from odxfs.smb.rpc.calls import Calls, Ndr, fill_sid, interface, new_string, read_sid, text
from odxfs.smb.rpc.handles import NO_HANDLE, Handles
from odxfs.smb.rpc.lists import (
    ListRequest,
    names_of_lookup,
    pack_list,
    pack_sid,
    sids_of_lookup,
    string_body,
    string_head,
)
from odxfs.smb.rpc.pipe import Interface
from odxfs.smb.security.names import Account, Names, SidUse
from odxfs.wire.fscc.sid import ADMINISTRATORS, Sid

LSARPC_UUID = UUID("12345778-1234-abcd-ef00-0123456789ab")

SUCCESS, SOME_NOT_MAPPED, NONE_MAPPED = 0, 0x00000107, 0xC0000073
OBJECT_NAME_NOT_FOUND, INVALID_PARAMETER, NO_SUCH_PRIVILEGE = 0xC0000034, 0xC000000D, 0xC0000060
NO_DOMAIN = -1
NO_RID = 0xFFFFFFFF

_USE = Struct("<Hxx")
_RID = Struct("<I")
_INDEX = Struct("<i")
_EMPTY_LIST_BYTES = 8
_LAST_BYTES = 8
"""MappedCount and the status, with which each of the answers to a lookup ends."""

PRIVILEGES = {
    "SeSecurityPrivilege": 8,
    "SeTakeOwnershipPrivilege": 9,
    "SeBackupPrivilege": 17,
    "SeRestorePrivilege": 18,
}
"""The privileges that there are here, and their LUIDs (MS-LSAD 3.1.1.2.1)."""


@dataclass(slots=True)
class Authority:
    """What the calls of one pipe share; `names` is asked once a call."""

    names: Callable[[], Names]
    handles: Handles[None] = field(default_factory=Handles)


class _OpenPolicy(NDRCALL):  # type: ignore[misc]
    """LsarOpenPolicy (MS-LSAD 3.1.4.4.2), of which nothing is looked at: impacket's takes its name for a string."""

    opnum = 6
    structure = ()


def security_authority(authority: Authority) -> Interface:
    """The interface behind `\\\\PIPE\\\\lsarpc`."""
    return interface("lsarpc", LSARPC_UUID, 0, _CALLS, authority, _LISTS)


def _open(response: type[Ndr]) -> Callable[[Authority, Ndr], Ndr]:
    def answer(authority: Authority, request: Ndr) -> Ndr:
        """MS-LSAD 3.1.4.4.1 and .2: any policy handle is for reading, whatever was asked for."""
        made = response()
        made["PolicyHandle"] = authority.handles.new(None)
        made["ErrorCode"] = SUCCESS
        return made

    return answer


def _close(authority: Authority, request: Ndr) -> Ndr:
    authority.handles.close(bytes(request["ObjectHandle"]))
    response = lsad.LsarCloseResponse()
    response["ObjectHandle"] = NO_HANDLE
    response["ErrorCode"] = SUCCESS
    return response


def _need_policy(authority: Authority, handle: Ndr) -> None:
    authority.handles.find(bytes(handle))


def _query_policy(response: type[Ndr]) -> Callable[[Authority, Ndr], Ndr]:
    def answer(authority: Authority, request: Ndr) -> Ndr:
        """MS-LSAD 3.1.4.4.3 and .4: what domain there is. Of none it is a member."""
        _need_policy(authority, request["PolicyHandle"])
        made, level = response(), int(request["InformationClass"])
        if level not in _POLICY_LEVELS:
            made["PolicyInformation"] = NULL
            made["ErrorCode"] = INVALID_PARAMETER
            return made
        made["PolicyInformation"]["tag"] = level
        _POLICY_LEVELS[level](authority, made["PolicyInformation"])
        made["ErrorCode"] = SUCCESS
        return made

    return answer


def _primary_domain(authority: Authority, information: Ndr) -> None:
    information["PolicyPrimaryDomainInfo"]["Name"] = authority.names().server_name
    information["PolicyPrimaryDomainInfo"]["Sid"] = NULL


def _account_domain(authority: Authority, information: Ndr) -> None:
    information["PolicyAccountDomainInfo"]["DomainName"] = authority.names().server_name
    _fill_machine(authority, information["PolicyAccountDomainInfo"], "DomainSid")


def _server_role(authority: Authority, information: Ndr) -> None:
    information["PolicyServerRoleInfo"]["LsaServerRole"] = 3


def _dns_domain(authority: Authority, information: Ndr) -> None:
    information["PolicyDnsDomainInfo"]["Name"] = authority.names().server_name
    information["PolicyDnsDomainInfo"]["Sid"] = NULL


def _fill_machine(authority: Authority, information: Ndr, name: str) -> None:
    machine = authority.names().machine
    if machine is None:
        information[name] = NULL
    else:
        fill_sid(information[name], machine)


_POLICY_LEVELS: dict[int, Callable[[Authority, Ndr], None]] = {
    3: _primary_domain,
    5: _account_domain,
    6: _server_role,
    12: _dns_domain,
}


class _Domains:
    """The domains that an answer refers to by index (MS-LSAT 2.2.12)."""

    def __init__(self) -> None:
        self._known: dict[Sid, int] = {}
        self._names: list[str] = []

    def index_of(self, account: Account | None) -> int:
        if account is None:
            return NO_DOMAIN
        if account.domain not in self._known:
            self._known[account.domain] = len(self._names)
            self._names.append(account.domain_name)
        return self._known[account.domain]

    def fill(self, response: Ndr) -> None:
        domains = response["ReferencedDomains"]
        domains["Entries"] = domains["MaxEntries"] = len(self._names)
        if not self._names:
            domains["Domains"] = NULL
        for sid, index in self._known.items():
            entry = lsad.LSAPR_TRUST_INFORMATION()
            entry["Name"] = self._names[index] or NULL
            fill_sid(entry["Sid"], sid)
            domains["Domains"].append(entry)


def _finish(response: Ndr, domains: _Domains, accounts: list[Account | None], translated: bytes) -> bytes:
    """The whole answer, `translated` in the place of the empty list that stands before its last two words."""
    domains.fill(response)
    mapped = sum(account is not None for account in accounts)
    response["MappedCount"] = mapped
    response["ErrorCode"] = (
        NONE_MAPPED if not mapped else SUCCESS if mapped == len(accounts) else SOME_NOT_MAPPED
    )
    packed: bytes = response.getData()
    return packed[: -_EMPTY_LIST_BYTES - _LAST_BYTES] + translated + packed[-_LAST_BYTES:]


def _lookup_sids(response: type[Ndr], *, flags: bool) -> Callable[[Authority, ListRequest[Sid]], bytes]:
    def answer(authority: Authority, request: ListRequest[Sid]) -> bytes:
        """MS-LSAT 3.1.4.10 and .11; who is not known is named by the SID itself. Entries: 2.2.19 and 2.2.21."""
        _need_policy(authority, request.handle)
        known, domains = authority.names(), _Domains()
        accounts = [known.of_sid(sid) for sid in request.items]
        shown = [_shown(sid, account) for sid, account in zip(request.items, accounts, strict=True)]
        heads = [
            _USE.pack(_use(account))
            + string_head(name)
            + _INDEX.pack(domains.index_of(account))
            + _flags(flags)
            for name, account in zip(shown, accounts, strict=True)
        ]
        made = response()
        made["TranslatedNames"]["Names"] = NULL
        return _finish(made, domains, accounts, pack_list(heads, [string_body(name) for name in shown]))

    return answer


def _use(account: Account | None) -> SidUse:
    return SidUse.UNKNOWN if account is None else account.use


def _flags(wanted: bool) -> bytes:
    return bytes(4) if wanted else b""


def _shown(sid: Sid, account: Account | None) -> str:
    if account is None:
        return str(sid)
    return "" if account.use is SidUse.DOMAIN else account.name


def _lookup_names(
    response: type[Ndr], pack: Callable[[Account | None, int], bytes], *, sids: bool = False
) -> Callable[[Authority, ListRequest[str]], bytes]:
    def answer(authority: Authority, request: ListRequest[str]) -> bytes:
        """MS-LSAT 3.1.4.6 to .8."""
        _need_policy(authority, request.handle)
        known, domains = authority.names(), _Domains()
        accounts = [known.of_name(name) for name in request.items]
        heads = [pack(account, domains.index_of(account)) for account in accounts]
        bodies = [pack_sid(account.sid) for account in accounts if account is not None] if sids else []
        made = response()
        made["TranslatedSids"]["Sids"] = NULL
        return _finish(made, domains, accounts, pack_list(heads, bodies))

    return answer


def _rid_entry(account: Account | None, index: int) -> bytes:
    """LSA_TRANSLATED_SID (MS-LSAT 2.2.15)."""
    whole = account is None or account.use is SidUse.DOMAIN
    rid = NO_RID if whole or account is None else account.rid
    return _USE.pack(_use(account)) + _RID.pack(rid) + _INDEX.pack(index)


def _rid_entry_with_flags(account: Account | None, index: int) -> bytes:
    """LSAPR_TRANSLATED_SID_EX (MS-LSAT 2.2.23)."""
    return _rid_entry(account, index) + _flags(True)


def _sid_entry(account: Account | None, index: int) -> bytes:
    """LSAPR_TRANSLATED_SID_EX2 (MS-LSAT 2.2.25), which points to the SID."""
    return _USE.pack(_use(account)) + _RID.pack(account is not None) + _INDEX.pack(index) + _flags(True)


def _rights_of(authority: Authority, sid: Sid) -> list[str]:
    """The privileges that a SID itself holds: SeSecurityPrivilege who acts as uid 0, all of them BUILTIN\\Administrators."""
    if sid == ADMINISTRATORS:
        return list(PRIVILEGES)
    return ["SeSecurityPrivilege"] if sid in authority.names().administrators else []


def _account_rights(authority: Authority, request: Ndr) -> Ndr:
    """MS-LSAD 3.1.4.5.10."""
    _need_policy(authority, request["PolicyHandle"])
    rights = _rights_of(authority, read_sid(request["AccountSid"]))
    response = lsad.LsarEnumerateAccountRightsResponse()
    response["UserRights"]["EntriesRead"] = len(rights)
    if not rights:
        response["UserRights"]["UserRights"] = NULL
    for right in rights:
        response["UserRights"]["UserRights"].append(new_string(RPC_UNICODE_STRING, right))
    response["ErrorCode"] = SUCCESS if rights else OBJECT_NAME_NOT_FOUND
    return response


def _privilege_value(authority: Authority, request: Ndr) -> Ndr:
    """MS-LSAD 3.1.4.8.2."""
    _need_policy(authority, request["PolicyHandle"])
    wanted = text(request["Name"]).casefold()
    value = next((value for name, value in PRIVILEGES.items() if name.casefold() == wanted), 0)
    response = lsad.LsarLookupPrivilegeValueResponse()
    response["Value"]["LowPart"], response["Value"]["HighPart"] = value, 0
    response["ErrorCode"] = SUCCESS if value else NO_SUCH_PRIVILEGE
    return response


_CALLS: Calls[Authority] = {
    structure.opnum: (structure, answer)
    for structure, answer in (
        (lsad.LsarClose, _close),
        (_OpenPolicy, _open(lsad.LsarOpenPolicyResponse)),
        (lsad.LsarOpenPolicy2, _open(lsad.LsarOpenPolicy2Response)),
        (lsad.LsarQueryInformationPolicy, _query_policy(lsad.LsarQueryInformationPolicyResponse)),
        (lsad.LsarQueryInformationPolicy2, _query_policy(lsad.LsarQueryInformationPolicy2Response)),
        (lsad.LsarEnumerateAccountRights, _account_rights),
        (lsad.LsarLookupPrivilegeValue, _privilege_value),
    )
}

_LISTS: Calls[Authority] = {
    lsat.LsarLookupSids.opnum: (sids_of_lookup, _lookup_sids(lsat.LsarLookupSidsResponse, flags=False)),
    lsat.LsarLookupSids2.opnum: (sids_of_lookup, _lookup_sids(lsat.LsarLookupSids2Response, flags=True)),
    lsat.LsarLookupNames.opnum: (names_of_lookup, _lookup_names(lsat.LsarLookupNamesResponse, _rid_entry)),
    lsat.LsarLookupNames2.opnum: (
        names_of_lookup,
        _lookup_names(lsat.LsarLookupNames2Response, _rid_entry_with_flags),
    ),
    lsat.LsarLookupNames3.opnum: (
        names_of_lookup,
        _lookup_names(lsat.LsarLookupNames3Response, _sid_entry, sids=True),
    ),
}
