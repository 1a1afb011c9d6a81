"""What a profile changes of an SVM's defaults."""

from typing import Any

from odxfs.configuration.model import Profile
from odxfs.types import LEAF_BYTES

KIBIBYTE = 1024

PROFILES: dict[Profile, dict[str, Any]] = {
    Profile.WINDOWS: {},
    Profile.ONTAP: {"token_size": LEAF_BYTES, "smallest_file": 256 * KIBIBYTE, "copychunk": False},
}
"""Field of SvmConfiguration -> its default. Offload below SMB 3.0 is refused under every profile, as all servers do."""
