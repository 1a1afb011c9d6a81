"""What the catalog keeps of a persistent open: all that makes the same open again in another process, as JSON.

A body of a later form than FORM, or one that is damaged, is None to `unpack_record`: the open is lost, nothing else.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Any

FORM = 1
"""The form of the body; a change of what a field means is another form."""

Lock = tuple[int, int, bool]
"""Offset, length, exclusive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRecord:
    """Numbers and names as in SmbOpen and Durability; bytes as hexadecimal text.

    `parent` is 0 where the open has no name. `lock_sequences` are pairs of index and number. `caching` is what the client may
    cache, in the words of whoever grants that; empty for nothing.
    """

    svm: str
    share: str
    path: str
    user: str
    client_guid: str
    create_guid: str
    timeout: float
    action: int
    access: int
    share_access: int
    create_options: int
    parent: int
    name: str
    mode: int
    position: int
    delete_on_close: bool
    delete_pending: bool
    keeps_change_time: bool
    keeps_write_time: bool
    app_instance: str
    app_version: tuple[int, int] | None
    locks: tuple[Lock, ...]
    lock_sequences: tuple[tuple[int, int], ...]
    caching: dict[str, Any]


_FIELDS = {field.name: str(field.type) for field in fields(OpenRecord)}
_MAY_BE_MISSING: dict[str, Any] = {"keeps_write_time": False}
"""What a body need not have, and what it then means."""

_KINDS: dict[str, type | tuple[type, ...]] = {
    "str": str,
    "int": int,
    "bool": bool,
    "float": (int, float),
    "dict[str, Any]": dict,
}


def pack_record(record: OpenRecord) -> bytes:
    """The body of a catalog row."""
    return json.dumps({"form": FORM, **asdict(record)}, separators=(",", ":")).encode()


def unpack_record(body: bytes) -> OpenRecord | None:
    """The record of a body; None where it cannot be one."""
    try:
        content = json.loads(body)
        if not isinstance(content, dict) or content.pop("form", None) != FORM:
            return None
        content = _MAY_BE_MISSING | content
        if content.keys() != _FIELDS.keys():
            return None
        if not all(_is_of_kind(content[name], kind) for name, kind in _FIELDS.items()):
            return None
        version = content["app_version"]
        content["app_version"] = None if version is None else (int(version[0]), int(version[1]))
        content["locks"] = tuple(
            (int(offset), int(length), bool(exclusive)) for offset, length, exclusive in content["locks"]
        )
        content["lock_sequences"] = tuple((int(at), int(number)) for at, number in content["lock_sequences"])
        for name in ("client_guid", "create_guid", "name", "app_instance"):
            bytes.fromhex(content[name])
    except (ValueError, TypeError, IndexError, RecursionError):
        return None
    return OpenRecord(**content)


def _is_of_kind(value: object, kind: str) -> bool:
    wanted = _KINDS.get(kind)
    return wanted is None or isinstance(value, wanted)
