"""Memory that is free goes back to the system.

Between long-lived small objects the C library's heap keeps what bursts of large buffers leave free, for as long as the process
lives: in hours of mixed load that was a third of all resident memory, and growing.
"""

import ctypes

import trio

from odxfs.buffers import give_back_large

GIVE_BACK_SECONDS = 30.0
"""How often. A pass over a heap of 150 MiB takes some milliseconds, most of it only where there is much to give back."""

_libc = ctypes.CDLL(None)


async def give_back_free_memory() -> None:
    """Return free pages of buffers and heap to the system every GIVE_BACK_SECONDS, until cancelled.

    The heap's by malloc_trim(3) of glibc; a C library that has no such call, as musl, is left to itself.
    """
    trim = getattr(_libc, "malloc_trim", None)
    if trim is not None:
        trim.argtypes, trim.restype = (ctypes.c_size_t,), ctypes.c_int
    while True:
        await trio.sleep(GIVE_BACK_SECONDS)
        await trio.to_thread.run_sync(give_back_large)
        if trim is not None:
            await trio.to_thread.run_sync(trim, 0)
