"""Tokens and extent-sharing copies; see README.md in this folder."""

from odxfs.offload.counters import Mechanism, OffloadCounters
from odxfs.offload.engine import OffloadEngine
from odxfs.offload.entries import TokenChoice, TokenInfo, TokenOrigin
from odxfs.offload.events import OffloadEvent
from odxfs.offload.foreign import ForeignCopy, ForeignTokens
from odxfs.offload.recording import Caller, CallRecord, file_text
from odxfs.offload.registry import TokenRegistry
from odxfs.offload.rules import OffloadParty, ReadCall, ReadResult, WriteCall
from odxfs.offload.token import TOKEN_BYTES
from odxfs.offload.token_files import TOKENS_FOLDER, TokenFiles
from odxfs.offload_policy import OffloadPolicy
from odxfs.offload_settings import OffloadSettings, TokenLimits

__all__ = [
    "TOKENS_FOLDER",
    "TOKEN_BYTES",
    "CallRecord",
    "Caller",
    "ForeignCopy",
    "ForeignTokens",
    "Mechanism",
    "OffloadCounters",
    "OffloadEngine",
    "OffloadEvent",
    "OffloadParty",
    "OffloadPolicy",
    "OffloadSettings",
    "ReadCall",
    "ReadResult",
    "TokenChoice",
    "TokenFiles",
    "TokenInfo",
    "TokenLimits",
    "TokenOrigin",
    "TokenRegistry",
    "WriteCall",
    "file_text",
]
