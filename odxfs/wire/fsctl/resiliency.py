"""FSCTL_LMR_REQUEST_RESILIENCY (MS-SMB2 2.2.31.3). It has no output."""

from dataclasses import dataclass
from struct import Struct
from typing import ClassVar

from odxfs.wire.structure import FixedStructure


@dataclass(frozen=True, slots=True)
class NetworkResiliencyRequest(FixedStructure):
    """Keep the open for `timeout` milliseconds after the connection is lost; 0 is the server's default."""

    LAYOUT: ClassVar[Struct] = Struct("<I4x")

    timeout: int
