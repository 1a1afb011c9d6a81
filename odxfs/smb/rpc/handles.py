"""Context handles of one pipe: 20 bytes that a client gets for what it has opened (C706 6.1.6)."""

from __future__ import annotations

import secrets
from typing import Generic, TypeVar

from odxfs.smb.rpc.pdu import Fault
from odxfs.smb.rpc.pipe import RpcFault

HANDLE_BYTES = 20
NO_HANDLE = bytes(HANDLE_BYTES)

MAX_HANDLES = 256
"""Handles of one pipe; clients hold three or four."""

Opened = TypeVar("Opened")


class Handles(Generic[Opened]):
    """What each handle stands for; they go with the pipe."""

    def __init__(self) -> None:
        self._opened: dict[bytes, Opened] = {}

    def new(self, opened: Opened) -> bytes:
        """A handle for `opened`. RpcFault(NO_MEMORY) past MAX_HANDLES."""
        if len(self._opened) >= MAX_HANDLES:
            raise RpcFault(Fault.NO_MEMORY)
        handle = bytes(4) + secrets.token_bytes(HANDLE_BYTES - 4)
        self._opened[handle] = opened
        return handle

    def find(self, handle: bytes) -> Opened:
        """What `handle` stands for. RpcFault(CONTEXT_MISMATCH) when that is nothing (nca_s_fault_context_mismatch)."""
        if handle not in self._opened:
            raise RpcFault(Fault.CONTEXT_MISMATCH)
        return self._opened[handle]

    def close(self, handle: bytes) -> None:
        """Forget a handle. RpcFault(CONTEXT_MISMATCH)."""
        self.find(handle)
        del self._opened[handle]
