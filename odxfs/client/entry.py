"""One name in a folder, of a share or of this machine, as a walk sees it."""

from dataclasses import dataclass, field
from enum import Enum

from odxfs.client.metadata import Metadata


class Kind(Enum):
    """What a name stands for; the value is how messages call it."""

    FILE = "a file"
    FOLDER = "a directory"
    LINK = "a symbolic link"
    OTHER = "neither a file nor a directory"


@dataclass(frozen=True, slots=True)
class Entry:
    """`size` is in bytes, 0 for what is no file. `target` is a local symbolic link's."""

    name: str
    kind: Kind
    size: int = 0
    metadata: Metadata = field(default_factory=Metadata)
    target: str = ""
