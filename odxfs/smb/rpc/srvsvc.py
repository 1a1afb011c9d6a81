"""The server service, MS-SRVS: what shares there are (NetrShareEnum, NetrShareGetInfo) and what the server is.

NDR is impacket's: these calls are cold (milliseconds, a few times a session). Anything its classes raise on a client's
bytes becomes a fault; the levels answered are those that a user without administrator's rights may ask for.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias
from uuid import UUID

from impacket.dcerpc.v5 import srvs

from odxfs.smb.rpc.pdu import Fault
from odxfs.smb.rpc.pipe import Interface, RpcFault

SRVSVC_UUID = UUID("4b324fc8-1670-01d3-1278-5a47bf6ee188")
DISK_SHARE, IPC_SHARE, SPECIAL_SHARE = 0, 3, 0x80000000
"""MS-SRVS 2.2.2.4."""

OK, ERROR_ACCESS_DENIED, ERROR_INVALID_LEVEL, NERR_NET_NAME_NOT_FOUND = 0, 5, 124, 2310
PLATFORM_NT = 500
SERVER_TYPE = 0x00009003
"""SV_TYPE_WORKSTATION, _SERVER, _NT and _SERVER_NT (MS-SRVS 2.2.2.7)."""

VERSION_MAJOR, VERSION_MINOR = 10, 0
LIST_LEVELS = frozenset({0, 1, 501})
ADMINISTRATOR_LEVELS = frozenset({2, 502, 503})

Ndr: TypeAlias = Any
"""One of impacket's NDR structures: a mapping without types."""

logger = logging.getLogger(__name__)
logging.getLogger("impacket").setLevel(logging.CRITICAL)
# It logs each level of a stub that it cannot decode as an error: a client could fill the log with what `run_call` says once.


@dataclass(frozen=True, slots=True)
class PublishedShare:
    """One line of the share list; `kind` is MS-SRVS 2.2.2.4's."""

    name: str
    comment: str
    kind: int = DISK_SHARE


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What the pipes tell about the server; `shares` is asked at each call."""

    server_name: str
    comment: str
    shares: Callable[[], list[PublishedShare]]


def server_service(facts: ServerFacts) -> Interface:
    """The interface behind `\\\\PIPE\\\\srvsvc`."""
    calls: dict[int, tuple[Ndr, Callable[[ServerFacts, Ndr], Ndr]]] = {
        srvs.NetrShareEnum.opnum: (srvs.NetrShareEnum, _share_enum),
        srvs.NetrShareEnumSticky.opnum: (srvs.NetrShareEnumSticky, _share_enum),
        srvs.NetrShareGetInfo.opnum: (srvs.NetrShareGetInfo, _share_get_info),
        srvs.NetrServerGetInfo.opnum: (srvs.NetrServerGetInfo, _server_get_info),
    }

    def call(opnum: int, stub: bytes) -> bytes:
        if opnum not in calls:
            raise RpcFault(Fault.OPNUM_RANGE)
        structure, answer = calls[opnum]
        return run_call(structure, answer, facts, stub)

    return Interface("srvsvc", SRVSVC_UUID, 3, call)


def run_call(
    structure: Ndr, answer: Callable[[ServerFacts, Ndr], Ndr], facts: ServerFacts, stub: bytes
) -> bytes:
    """Decode `stub`, answer, encode. What impacket raises while decoding is the client's doing: a fault."""
    try:
        request = structure(stub)
    except Exception as error:
        logger.info(
            "%s: undecodable stub of %d bytes (%s)", structure.__name__, len(stub), type(error).__name__
        )
        raise RpcFault(Fault.BAD_STUB_DATA) from error
    packed: bytes = answer(facts, request).getData()
    return packed


def _text(value: Ndr) -> str:
    return str(value).rstrip("\0")


def _fill_share(share: PublishedShare, level: int) -> Ndr:
    info = {0: srvs.SHARE_INFO_0, 1: srvs.SHARE_INFO_1, 501: srvs.SHARE_INFO_501}[level]()
    info[f"shi{level}_netname"] = share.name + "\0"
    if level != 0:
        info[f"shi{level}_type"] = share.kind
        info[f"shi{level}_remark"] = share.comment + "\0"
    if level == 501:
        info["shi501_flags"] = 0
    return info


def _share_enum(facts: ServerFacts, request: Ndr) -> Ndr:
    """MS-SRVS 3.1.4.8, and 3.1.4.9 since every share outlives a restart; the whole list in one answer."""
    level = int(request["InfoStruct"]["Level"])
    response = srvs.NetrShareEnumResponse()
    known = level in LIST_LEVELS
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


def _level_error(level: int) -> int:
    return ERROR_ACCESS_DENIED if level in ADMINISTRATOR_LEVELS else ERROR_INVALID_LEVEL


def _share_get_info(facts: ServerFacts, request: Ndr) -> Ndr:
    """MS-SRVS 3.1.4.10; level 1005 says: no DFS, caching at the client's choice."""
    level, wanted = int(request["Level"]), _text(request["NetName"]).casefold()
    found = next((share for share in facts.shares() if share.name.casefold() == wanted), None)
    response = srvs.NetrShareGetInfoResponse()
    code = OK if level in LIST_LEVELS or level == 1005 else _level_error(level)
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
