"""The server service, MS-SRVS: what shares there are (NetrShareEnum, NetrShareGetInfo) and what the server is.

The levels answered are those that a user without administrator's rights may ask for; what the others show nobody may see.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from impacket.dcerpc.v5 import srvs

from odxfs.smb.rpc.calls import Calls, Ndr, interface, text
from odxfs.smb.rpc.pipe import Interface
from odxfs.wire.cursor import encode_utf16

SRVSVC_UUID = UUID("4b324fc8-1670-01d3-1278-5a47bf6ee188")
DISK_SHARE, IPC_SHARE, SPECIAL_SHARE = 0, 3, 0x80000000
"""MS-SRVS 2.2.2.4."""

OK, ERROR_ACCESS_DENIED, ERROR_INVALID_LEVEL, NERR_NET_NAME_NOT_FOUND = 0, 5, 124, 2310
NERR_USER_NOT_FOUND, NERR_CLIENT_NAME_NOT_FOUND = 2221, 2312
PLATFORM_NT = 500
SERVER_TYPE = 0x00009003
"""SV_TYPE_WORKSTATION, _SERVER, _NT and _SERVER_NT (MS-SRVS 2.2.2.7)."""

VERSION_MAJOR, VERSION_MINOR = 10, 0
LIST_LEVELS = frozenset({0, 1, 501})
ADMINISTRATOR_LEVELS = frozenset({2, 502})
SESSION_LEVELS = frozenset({0, 1, 10})
ANY_NUMBER_OF_USES = 0xFFFFFFFF
_MINUTES_WEST_OF_UTC = 0


@dataclass(frozen=True, slots=True)
class PublishedShare:
    """One line of the share list; `kind` is MS-SRVS 2.2.2.4's."""

    name: str
    comment: str
    kind: int = DISK_SHARE
    path: str = ""
    """Where it leads, as a path of Windows; for administrators."""


@dataclass(frozen=True, slots=True)
class ConnectedUser:
    """One session: the client's address, the user, how many opens he holds, and how long he has been there."""

    address: str
    user: str
    opens: int
    seconds: int


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What the pipes tell about the server; `shares`, `sessions` and `now` are asked at each call."""

    server_name: str
    comment: str
    shares: Callable[[], list[PublishedShare]]
    sessions: Callable[[], list[ConnectedUser]] = lambda: []
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    is_administrator: bool = False
    """Whether the caller acts as uid 0, and so may see who is connected and where shares lead."""


def server_service(facts: ServerFacts) -> Interface:
    """The interface behind `\\\\PIPE\\\\srvsvc`."""
    calls: Calls[ServerFacts] = {
        srvs.NetrShareEnum.opnum: (srvs.NetrShareEnum, _share_enum),
        srvs.NetrShareEnumSticky.opnum: (srvs.NetrShareEnumSticky, _share_enum),
        srvs.NetrShareGetInfo.opnum: (srvs.NetrShareGetInfo, _share_get_info),
        srvs.NetrServerGetInfo.opnum: (srvs.NetrServerGetInfo, _server_get_info),
        srvs.NetrSessionEnum.opnum: (srvs.NetrSessionEnum, _session_enum),
        srvs.NetrRemoteTOD.opnum: (srvs.NetrRemoteTOD, _time_of_day),
    }

    return interface("srvsvc", SRVSVC_UUID, 3, calls, facts)


def _fill_share(share: PublishedShare, level: int) -> Ndr:
    info = _SHARE_INFO[level]()
    info[f"shi{level}_netname"] = _shown(share.name)
    if level != 0:
        info[f"shi{level}_type"] = share.kind
        info[f"shi{level}_remark"] = _shown(share.comment)
    if level == 501:
        info["shi501_flags"] = 0
    if level in ADMINISTRATOR_LEVELS:
        info[f"shi{level}_permissions"] = info[f"shi{level}_current_uses"] = 0
        info[f"shi{level}_max_uses"] = ANY_NUMBER_OF_USES
        info[f"shi{level}_path"] = _shown(share.path)
        info[f"shi{level}_passwd"] = srvs.NULL
    if level == 502:
        info["shi502_reserved"] = 0
        info["shi502_security_descriptor"] = srvs.NULL
    return info


def _shown(text: str) -> str:
    """Text as it can be sent, with its NUL: one odd name or comment never makes a whole list unreadable."""
    return str(encode_utf16(text), "utf-16-le") + "\0"


_SHARE_INFO = {
    0: srvs.SHARE_INFO_0,
    1: srvs.SHARE_INFO_1,
    2: srvs.SHARE_INFO_2,
    501: srvs.SHARE_INFO_501,
    502: srvs.SHARE_INFO_502,
}


def _share_enum(facts: ServerFacts, request: Ndr) -> Ndr:
    """MS-SRVS 3.1.4.8, and 3.1.4.9 since every share outlives a restart; the whole list in one answer."""
    level = int(request["InfoStruct"]["Level"])
    response = srvs.NetrShareEnumResponse()
    known = _may_see(facts, level)
    shown = level if known or level in ADMINISTRATOR_LEVELS else 0
    shares = facts.shares() if known else []
    container = f"Level{shown}"
    response["InfoStruct"]["Level"] = shown
    response["InfoStruct"]["ShareInfo"]["tag"] = shown
    response["InfoStruct"]["ShareInfo"][container]["EntriesRead"] = len(shares)
    for share in shares:
        response["InfoStruct"]["ShareInfo"][container]["Buffer"].append(_fill_share(share, shown))
    if not shares:
        response["InfoStruct"]["ShareInfo"][container]["Buffer"] = srvs.NULL
    response["TotalEntries"] = len(shares)
    response["ResumeHandle"] = srvs.NULL
    response["ErrorCode"] = OK if known else _level_error(level)
    return response


def _may_see(facts: ServerFacts, level: int) -> bool:
    return level in LIST_LEVELS or (facts.is_administrator and level in ADMINISTRATOR_LEVELS)


def _level_error(level: int) -> int:
    return ERROR_ACCESS_DENIED if level in ADMINISTRATOR_LEVELS else ERROR_INVALID_LEVEL


def _share_get_info(facts: ServerFacts, request: Ndr) -> Ndr:
    """MS-SRVS 3.1.4.10; level 1005 says: no DFS, caching at the client's choice."""
    level, wanted = int(request["Level"]), text(request["NetName"]).casefold()
    found = next((share for share in facts.shares() if share.name.casefold() == wanted), None)
    response = srvs.NetrShareGetInfoResponse()
    code = OK if _may_see(facts, level) or level == 1005 else _level_error(level)
    if found is None:
        code = NERR_NET_NAME_NOT_FOUND
    shown = level if code == OK else 1
    response["InfoStruct"]["tag"] = shown
    if code != OK or found is None:
        response["InfoStruct"]["ShareInfo1"] = srvs.NULL
    elif level == 1005:
        response["InfoStruct"]["ShareInfo1005"]["shi1005_flags"] = 0
    else:
        response["InfoStruct"][f"ShareInfo{level}"] = _fill_share(found, level)
    response["ErrorCode"] = code
    return response


def _server_get_info(facts: ServerFacts, request: Ndr) -> Ndr:
    """MS-SRVS 3.1.4.17, levels 100 and 101."""
    level = int(request["Level"])
    response = srvs.NetrServerGetInfoResponse()
    shown = level if level in (100, 101) else 100
    response["InfoStruct"]["tag"] = shown
    if level not in (100, 101):
        response["InfoStruct"]["ServerInfo100"] = srvs.NULL
        response["ErrorCode"] = ERROR_ACCESS_DENIED if level in (102, 502, 503) else ERROR_INVALID_LEVEL
        return response
    info = response["InfoStruct"][f"ServerInfo{level}"]
    info[f"sv{level}_platform_id"] = PLATFORM_NT
    info[f"sv{level}_name"] = facts.server_name + "\0"
    if level == 101:
        info["sv101_version_major"], info["sv101_version_minor"] = VERSION_MAJOR, VERSION_MINOR
        info["sv101_type"] = SERVER_TYPE
        info["sv101_comment"] = facts.comment + "\0"
    response["ErrorCode"] = OK
    return response


def _session_enum(facts: ServerFacts, request: Ndr) -> Ndr:
    """MS-SRVS 3.1.4.5, levels 0, 1 and 10, for administrators: who else is connected is nobody's business."""
    level = int(request["InfoStruct"]["Level"])
    response = srvs.NetrSessionEnumResponse()
    known = level in SESSION_LEVELS and facts.is_administrator
    shown = level if level in SESSION_LEVELS else 0
    container = f"Level{shown}"
    sessions, code = _asked_for(facts, request) if known else ([], _session_level_error(level))
    response["InfoStruct"]["Level"] = shown
    response["InfoStruct"]["SessionInfo"]["tag"] = shown
    response["InfoStruct"]["SessionInfo"][container]["EntriesRead"] = len(sessions)
    for session in sessions:
        response["InfoStruct"]["SessionInfo"][container]["Buffer"].append(_fill_session(session, shown))
    if not sessions:
        response["InfoStruct"]["SessionInfo"][container]["Buffer"] = srvs.NULL
    response["TotalEntries"] = len(sessions)
    response["ResumeHandle"] = srvs.NULL
    response["ErrorCode"] = code
    return response


def _session_level_error(level: int) -> int:
    return ERROR_ACCESS_DENIED if level in SESSION_LEVELS else ERROR_INVALID_LEVEL


def _asked_for(facts: ServerFacts, request: Ndr) -> tuple[list[ConnectedUser], int]:
    """The sessions of the client and of the user that are named, where one is; and the error if there are none."""
    client, user = (_filter(request[name]) for name in ("ClientName", "UserName"))
    sessions = facts.sessions()
    if client:
        sessions = [each for each in sessions if each.address.casefold() == client.lstrip("\\")]
        if not sessions:
            return [], NERR_CLIENT_NAME_NOT_FOUND
    if user:
        sessions = [each for each in sessions if each.user.casefold() == user]
        if not sessions:
            return [], NERR_USER_NOT_FOUND
    return sessions, OK


def _filter(value: Ndr) -> str:
    """What a list is narrowed by; no pointer, which impacket shows as no bytes, and no text narrow nothing."""
    return text(value).casefold() if value else ""


def _fill_session(session: ConnectedUser, level: int) -> Ndr:
    info = {0: srvs.SESSION_INFO_0, 1: srvs.SESSION_INFO_1, 10: srvs.SESSION_INFO_10}[level]()
    info[f"sesi{level}_cname"] = session.address + "\0"
    if level != 0:
        info[f"sesi{level}_username"] = session.user + "\0"
        info[f"sesi{level}_time"], info[f"sesi{level}_idle_time"] = session.seconds, 0
    if level == 1:
        info["sesi1_num_opens"], info["sesi1_user_flags"] = session.opens, 0
    return info


def _time_of_day(facts: ServerFacts, request: Ndr) -> Ndr:
    """MS-SRVS 3.1.4.21, in UTC; a tick is 310 units of 0.1 ms, as on Windows."""
    now = facts.now()
    response = srvs.NetrRemoteTODResponse()
    fields = {
        "elapsedt": int(now.timestamp()) & 0xFFFFFFFF,
        "msecs": int(now.timestamp() * 1000) & 0xFFFFFFFF,
        "hours": now.hour,
        "mins": now.minute,
        "secs": now.second,
        "hunds": now.microsecond // 10_000,
        "timezone": _MINUTES_WEST_OF_UTC,
        "tinterval": 310,
        "day": now.day,
        "month": now.month,
        "year": now.year,
        "weekday": now.isoweekday() % 7,
    }
    for name, value in fields.items():
        response["BufferPtr"][f"tod_{name}"] = value
    response["ErrorCode"] = OK
    return response
