"""One RPC interface as a table of calls: decode a stub (with impacket's NDR, or with `lists`), answer it, encode.

These calls are cold (milliseconds, a few times a session). Whatever is raised for a client's bytes becomes a fault of that call.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, TypeVar
from uuid import UUID

from impacket.dcerpc.v5.dtypes import NULL

from odxfs.errors import UserError
from odxfs.smb.rpc.pdu import Fault
from odxfs.smb.rpc.pipe import Interface, RpcFault
from odxfs.wire.fscc.sid import MAX_SUB_AUTHORITIES, Sid

Ndr: TypeAlias = Any
"""One of impacket's NDR structures: a mapping without types."""

State = TypeVar("State")
"""What the calls of an interface share."""

Calls: TypeAlias = Mapping[int, tuple[Callable[[bytes], Any], Callable[[State, Any], Ndr | bytes]]]
"""Opnum to what decodes a stub (one of impacket's structures, or a reader of `lists`) and what answers the request it makes, with
a structure or with its bytes."""

MAX_STUB_BYTES = 2048
"""Of a call that impacket decodes: three names of 255 characters and some numbers. Where every word is a pointer and a count it
takes seven microseconds a byte, in which all else waits. Longer ones are lists, see `lists`."""

logger = logging.getLogger(__name__)
logging.getLogger("impacket").setLevel(logging.CRITICAL)
# It logs each level of a stub that it cannot decode as an error: a client could fill the log with what `_run` says once.


def interface(
    endpoint: str,
    uuid: UUID,
    major_version: int,
    calls: Calls[State],
    state: State,
    lists: Calls[State] | None = None,
) -> Interface:
    """An interface that answers these calls and no others.

    Those of `lists` have stubs as long as a pipe takes, MAX_CALL_BYTES, and are read by what does not need impacket.
    """
    known = {**calls, **(lists or {})}

    def call(opnum: int, stub: bytes) -> bytes:
        if opnum not in known:
            raise RpcFault(Fault.OPNUM_RANGE)
        if opnum in calls and len(stub) > MAX_STUB_BYTES:
            raise RpcFault(Fault.NO_MEMORY)
        decode, answer = known[opnum]
        return _run(decode, answer, state, stub)

    return Interface(endpoint, uuid, major_version, call)


def _run(
    decode: Callable[[bytes], Any], answer: Callable[[State, Any], Ndr | bytes], state: State, stub: bytes
) -> bytes:
    """impacket decodes some parts only when they are looked at: what goes wrong in the answer may be the client's doing too."""
    try:
        made = answer(state, decode(stub))
        packed: bytes = made if isinstance(made, bytes) else made.getData()
    except RpcFault:
        raise
    except UserError as error:
        logger.error("%s is not answered: %s", decode.__name__, error)
        raise RpcFault(Fault.CANNOT_PERFORM) from error
    except Exception as error:
        logger.info("%s: no answer to a stub of %d bytes (%r)", decode.__name__, len(stub), error)
        raise RpcFault(Fault.BAD_STUB_DATA) from error
    return packed


def text(value: Ndr) -> str:
    """A string of a request without its NUL."""
    return str(value).rstrip("\0")


def read_sid(value: Ndr) -> Sid:
    """The SID of an RPC_SID. RpcFault for one with too many parts."""
    parts = tuple(int(part) for part in value["SubAuthority"])
    if len(parts) > MAX_SUB_AUTHORITIES:
        raise RpcFault(Fault.BAD_STUB_DATA)
    return Sid(int.from_bytes(value["IdentifierAuthority"], "big"), parts)


def fill_sid(value: Ndr, sid: Sid) -> None:
    """Make an RPC_SID that `sid`."""
    value["Revision"] = 1
    value["IdentifierAuthority"] = sid.identifier_authority.to_bytes(6, "big")
    value["SubAuthorityCount"] = len(sid.sub_authorities)
    for part in sid.sub_authorities:
        value["SubAuthority"].append(part)


def fill_text(structure: Ndr, field: str, content: str) -> None:
    """Fill an RPC_UNICODE_STRING of a structure. impacket takes characters for its lengths, some of which are two UTF-16 units:
    a client that is told too little decodes nothing of the answer."""
    structure[field] = content
    made = structure.fields[field].fields
    made["Length"] = made["MaximumLength"] = len(content.encode("utf-16-le"))


def new_string(structure: Ndr, content: str) -> Ndr:
    """An RPC_UNICODE_STRING of that class; an empty one has no buffer."""
    made = structure()
    made["Data"] = content or NULL
    return made
