"""The workstation service, MS-WKST: only NetrWkstaGetInfo, which clients use to learn the server's name and domain."""

from uuid import UUID

from impacket.dcerpc.v5 import wkst

from odxfs.smb.rpc.calls import Calls, Ndr, interface
from odxfs.smb.rpc.pipe import Interface
from odxfs.smb.rpc.srvsvc import (
    ERROR_ACCESS_DENIED,
    ERROR_INVALID_LEVEL,
    OK,
    PLATFORM_NT,
    VERSION_MAJOR,
    VERSION_MINOR,
    ServerFacts,
)

WKSSVC_UUID = UUID("6bffd098-a112-3610-9833-46c3f87e345a")
WORKGROUP = "WORKGROUP"


def workstation_service(facts: ServerFacts) -> Interface:
    """The interface behind `\\\\PIPE\\\\wkssvc`."""
    calls: Calls[ServerFacts] = {
        wkst.NetrWkstaGetInfo.opnum: (wkst.NetrWkstaGetInfo, _get_info),
    }

    return interface("wkssvc", WKSSVC_UUID, 1, calls, facts)


def _get_info(facts: ServerFacts, request: Ndr) -> Ndr:
    """MS-WKST 3.2.4.1, level 100."""
    level = int(request["Level"])
    response = wkst.NetrWkstaGetInfoResponse()
    response["WkstaInfo"]["tag"] = 100
    if level != 100:
        response["WkstaInfo"]["WkstaInfo100"] = wkst.NULL
        response["ErrorCode"] = ERROR_ACCESS_DENIED if level in (101, 102, 502) else ERROR_INVALID_LEVEL
        return response
    info = response["WkstaInfo"]["WkstaInfo100"]
    info["wki100_platform_id"] = PLATFORM_NT
    info["wki100_computername"] = facts.server_name + "\0"
    info["wki100_langroup"] = WORKGROUP + "\0"
    info["wki100_ver_major"], info["wki100_ver_minor"] = VERSION_MAJOR, VERSION_MINOR
    response["ErrorCode"] = OK
    return response
