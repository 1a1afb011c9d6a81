"""Where the control socket is, and how to name it to the kernel."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SOCKET_NAME = "control"

MAX_ADDRESS_BYTES = 107
"""The longest path in a sockaddr_un, which has 108 bytes with its NUL (unix(7))."""

MAX_LINE_BYTES = 64 * 1024
"""The longest request: commands have a few short arguments at most."""


@contextmanager
def socket_address(directory: Path) -> Iterator[str]:
    """A path of the socket in `directory` that fits into a sockaddr_un, valid inside the `with` block.

    A long one is named through an open descriptor of the directory.
    """
    path = str(directory / SOCKET_NAME)
    if len(os.fsencode(path)) <= MAX_ADDRESS_BYTES:
        yield path
        return
    descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{SOCKET_NAME}"
    finally:
        os.close(descriptor)
