"""Our extension to pyfuse3 (native/extension.c): loaded here, in time and so that it is found.

It stands in for a function of libfuse. The dynamic linker finds it in that role only when its symbols are global and it is
there before pyfuse3 (ld.so(8), dlopen(3): RTLD_GLOBAL), which is why the package's `__init__` imports this module.
"""

import os
import sys
from types import ModuleType

SWITCH = "ODXFS_MOUNT_EXTENSION"
"""The environment variable that does without the extension when it is "0": to find out whether a fault is its own."""

module: ModuleType | None = None
"""The extension, or None: then `missing` says why."""

missing = "pyfuse3 was loaded before it, or calls libfuse by a name that it does not know"


def _load() -> ModuleType:
    """Import the extension with global symbols. Raises ImportError where it was not built or libfuse is not there."""
    flags = sys.getdlopenflags()
    sys.setdlopenflags(flags | os.RTLD_GLOBAL)
    try:
        from . import _extension
    finally:
        sys.setdlopenflags(flags)
    return _extension


if os.environ.get(SWITCH) == "0":
    missing = f"{SWITCH}=0"
else:
    try:
        module = _load()
    except ImportError as error:
        missing = str(error)


def is_append() -> bool | None:
    """Whether the write request at work goes to the end of the file; None without the extension. Before the first await."""
    return None if module is None else module.is_append()
