"""How an operation's failure is told to the kernel: one decorator around every operation."""

import errno
import functools
import logging
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

import pyfuse3

from odxfs.errors import VolumeError

log = logging.getLogger("odxfs.mount")

P = ParamSpec("P")
R = TypeVar("R")


def answered(operation: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, Coroutine[Any, Any, R]]:
    """Turn VolumeError into the errno it names; anything unforeseen into EIO, with its traceback in the log.

    An exception that left an operation would end the whole mount and leave the caller waiting for ever, so a defect in
    one operation costs that one answer and nobody else's files.
    """

    @functools.wraps(operation)
    async def answer(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return await operation(*args, **kwargs)
        except VolumeError as error:
            raise pyfuse3.FUSEError(error.errno) from error
        except pyfuse3.FUSEError:
            raise
        except Exception:
            log.exception("operation=%s failed", operation.__name__)
            raise pyfuse3.FUSEError(errno.EIO) from None

    return answer
