"""The soak's hands in the guest: run there as `python3 guest_hands.py`, it does what the host asks for, one thing after another.

A request is a line of JSON, [what, words, bytes], and so many bytes after it; so is an answer, [value, error number, bytes].
"""

import fcntl
import glob
import io
import json
import os
import subprocess
import time
from collections.abc import Callable
from typing import Any

CHANNEL = "/dev/vport*p1"
FICLONE = 0x40049409
MOUNTPOINT = "/mnt"
PIECE_BYTES = 1024 * 1024


def main() -> None:
    while not glob.glob(CHANNEL):
        time.sleep(0.05)
    with open(glob.glob(CHANNEL)[0], "r+b", buffering=0) as channel:
        requests, answers = io.BufferedReader(channel), io.BufferedWriter(channel)
        while line := requests.readline():
            what, words, count = json.loads(line)
            value, error, data = perform(what, words, requests.read(count))
            answers.write(json.dumps([value, error, len(data)]).encode() + b"\n" + data)
            answers.flush()


def perform(what: str, words: list[Any], data: bytes) -> tuple[Any, int, bytes]:
    """Its value, or its error's number and no value, and the bytes that were read."""
    try:
        value = DEEDS[what](*words, *([data] if data else []))
    except OSError as error:
        return str(error), error.errno or -1, b""
    return (None, 0, value) if isinstance(value, bytes) else (value, 0, b"")


def mount(source: str, options: str, folder: str) -> None:
    """Raises OSError with what mount says."""
    done = subprocess.run(
        ["mount", "-t", "cifs", "-o", options, source, MOUNTPOINT],
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise OSError(done.stderr.strip())
    os.chdir(f"{MOUNTPOINT}/{folder}")


def unmount() -> None:
    os.chdir("/")
    done = subprocess.run(["umount", MOUNTPOINT], check=False, capture_output=True, text=True)
    if done.returncode:
        raise OSError(done.stderr.strip())


def read(fd: int, offset: int, count: int) -> bytes:
    return os.pread(fd, count, offset)


def write(fd: int, offset: int, data: bytes) -> int:
    return os.pwrite(fd, data, offset)


def copy(how: str, source: str, target: str) -> None:
    """The whole file, in pieces (range, bytes) or as a clone; when it returns the server has it."""
    with open(source, "rb") as original, open(target, "wb") as made:
        COPIES[how](original.fileno(), made.fileno(), os.fstat(original.fileno()).st_size)
        os.fsync(made.fileno())


def copy_range(source: int, target: int, size: int) -> None:
    done = 0
    while done < size:
        copied = os.copy_file_range(source, target, size - done, done, done)
        if not copied:
            raise OSError(f"copy_file_range ends at {done} of {size}")
        done += copied


def copy_bytes(source: int, target: int, size: int) -> None:
    for offset in range(0, size, PIECE_BYTES):
        os.pwrite(target, os.pread(source, PIECE_BYTES, offset), offset)


def clone(source: int, target: int, _: int) -> None:
    fcntl.ioctl(target, FICLONE, source)


COPIES: dict[str, Callable[[int, int, int], None]] = {
    "range": copy_range,
    "bytes": copy_bytes,
    "clone": clone,
}
DEEDS: dict[str, Callable[..., Any]] = {
    "mount": mount,
    "unmount": unmount,
    "open": os.open,
    "close": os.close,
    "read": read,
    "write": write,
    "sync": os.fsync,
    "truncate": os.ftruncate,
    "size": lambda name: os.stat(name).st_size,
    "names": lambda: os.listdir("."),
    "rename": os.rename,
    "delete": os.unlink,
    "copy": copy,
}

main()
