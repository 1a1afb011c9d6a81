"""Copying by token between two files of one odxfs mount: the ledger's calls as extended attributes (`odxfs.token_attributes`)."""

import ctypes
import errno
import os
from collections.abc import Callable

import trio

from odxfs.client.explain import Cause
from odxfs.client.ledger import Call, ReadCall, TokenLedger
from odxfs.client.local_file import LocalFile
from odxfs.token_attributes import ANSWER_BYTES, READ_TOKEN, WRITE_TOKEN, TokenAnswer

_libc = ctypes.CDLL(None, use_errno=True)
_libc.fgetxattr.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t)
_libc.fgetxattr.restype = ctypes.c_ssize_t

_CAUSES = {
    errno.EAGAIN: Cause.LOCKED,
    errno.EKEYEXPIRED: Cause.EXPIRED,
    errno.ESTALE: Cause.EXPIRED,
    errno.EBUSY: Cause.SHORT_OF_RESOURCES,
    errno.EOPNOTSUPP: Cause.SOURCE_HAS_NO_OFFLOAD,
    errno.ENODATA: Cause.SOURCE_HAS_NO_OFFLOAD,
}


async def copy_by_local_token(
    source: LocalFile, destination: LocalFile, ledger: TokenLedger, progress: Callable[[], None]
) -> None:
    """Run the ledger to its end, which is the end of the file or a refusal (`ledger.cause`).

    The destination is at its full size and all zeros. One call after the other: each is two system calls and moves nothing.
    """
    while not ledger.finished:
        if ledger.pause_seconds:
            await trio.sleep(ledger.pause_seconds)
            ledger.pause_over()
        call = ledger.next_call()
        assert call is not None, "with nothing under way there is a call, or the ledger is finished"
        await trio.to_thread.run_sync(_make, source.descriptor, destination.descriptor, call, ledger)
        progress()


def _make(source: int, destination: int, call: Call, ledger: TokenLedger) -> None:
    """One call and its answer; the ledger is not touched by anybody else meanwhile."""
    try:
        if isinstance(call, ReadCall):
            answer = TokenAnswer.unpack(_get(source, READ_TOKEN % (call.offset, call.length)))
            ledger.token_read(call, answer.transfer_length, answer.token, zero_beyond=answer.zero_beyond)
        else:
            name = WRITE_TOKEN % (call.offset, call.length, call.transfer_offset)
            os.setxattr(destination, name, call.token)
            ledger.token_written(call, call.length)
    except OSError as error:
        ledger.refused(call, _CAUSES.get(error.errno or 0, Cause.SERVER_ERROR))


def _get(descriptor: int, name: bytes) -> bytes:
    """One fgetxattr(2) with room for the answer: os.getxattr tries with less first, and each try makes a token."""
    buffer = ctypes.create_string_buffer(ANSWER_BYTES)
    length = _libc.fgetxattr(descriptor, name, buffer, ANSWER_BYTES)
    if length < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return buffer.raw[:length]
