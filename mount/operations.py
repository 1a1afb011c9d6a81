"""All operations of the mount, put together from the groups they come in.

Of what pyfuse3 offers only `poll` is left alone: a regular file is always ready, and pyfuse3's ENOSYS makes the kernel say
so by itself from then on.
"""

from .attributes import AttributeOperations
from .directories import DirectoryOperations
from .files import FileOperations
from .names import NameOperations
from .range_requests import RequestedOperations


class Operations(
    NameOperations, FileOperations, RequestedOperations, DirectoryOperations, AttributeOperations
):
    """A volume as FUSE operations; give it to `pyfuse3.init`."""
