"""FSCTL_SRV_REQUEST_RESUME_KEY (MS-SMB2 2.2.32.3). It has no input."""

from dataclasses import dataclass
from struct import Struct
from typing import ClassVar

from odxfs.wire.structure import FixedStructure

KEY_BYTES = 24


@dataclass(frozen=True, slots=True)
class SrvRequestResumeKeyResponse(FixedStructure):
    """The 24-byte key by which COPYCHUNK names this open; a context, which nobody uses, is empty."""

    LAYOUT: ClassVar[Struct] = Struct("<24s8x")

    resume_key: bytes
