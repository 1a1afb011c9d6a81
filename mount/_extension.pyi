"""What native/extension.c offers."""

from collections.abc import Callable

class Request:
    """A request of the kernel that waits for its one answer.

    A second answer raises RuntimeError. OSError is raised when the kernel does not take the answer (it waits no more).
    """

    def reply_error(self, number: int, /) -> None:
        """Answer with an errno; 0 is success."""
    def reply_count(self, count: int, /) -> None:
        """Answer copy_file_range with the bytes copied."""
    def reply_offset(self, offset: int, /) -> None:
        """Answer lseek with the offset found."""
    def reply_lock(self, kind: int, offset: int, length: int, pid: int, /) -> None:
        """Answer getlk; `kind` is F_UNLCK when nothing is in the way, and `length` 0 means "to the end"."""
    def when_interrupted(self, callback: Callable[[], object], /) -> None:
        """Call `callback` when the caller was sent a signal and wants the request no longer; at once when it was already."""

def arm(handlers: object, /) -> None:
    """Sessions made from now on hand the operations to this object's methods of their names."""

def disarm() -> None:
    """Let go of the object that arm() was given."""

def is_filled() -> bool:
    """Whether a session was made since arm() that has the operations."""

def is_append() -> bool | None:
    """Whether the write request that came last goes to the end of the file, wherever that is: the open file has O_APPEND now,
    and it is no write of the page cache. None when that is not known. To be asked once, before anything else is awaited.
    """
