"""The Linux kernel's SMB client in a guest (scripts/guest) that does, call by call, what this process asks it for."""

import json
import subprocess
import threading
from pathlib import Path
from typing import Any, Self

from machine import HOST, Machine, make_machine
from place import PASSWORD, SHARE, USER, Place

HANDS = Path(__file__).with_name("guest_hands.py")
MACHINE = "machine"
BOOT_SECONDS, ANSWER_SECONDS = 900.0, 300.0
"""Emulated, beside everybody else, boots take a minute; an answer may wait half a minute for another's lease."""
TAIL_CHARACTERS = 400


class GuestFailed(Exception):
    """The guest has ended or does not answer; with the end of what its console says."""


def make_guests_machine(work: Path) -> Machine:
    """What the guests of a soak boot from, in its directory. Raises GuestMissing."""
    return make_machine(work / MACHINE, f"python3 -S /{HANDS.name}\n", [HANDS])


class Guest:
    """A guest, while the context lasts and this process's group lives. Calls raise OSError as they do in the guest."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._console = place.scratch / "console"
        self._patience = BOOT_SECONDS
        self._process = subprocess.Popen(
            Machine(place.work / MACHINE).words(
                "-display", "none", "-monitor", "none", "-serial", f"file:{self._console}",
                "-chardev", "stdio,id=host,signal=off", "-device", "virtio-serial", "-device", "virtserialport,chardev=host",
            ),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def mount(self, *more: str) -> None:
        """The share, with more options, on how it is protected and cached; names are then those of the client's folder."""
        options = f"username={USER},password={PASSWORD},vers=3.1.1,port={self._place.port},ip={HOST},noperm"
        self._ask("mount", f"//{HOST}/{SHARE}", ",".join((options, *more)), self._place.client)

    def unmount(self) -> None:
        """Returns when the server has all that was written."""
        self._ask("unmount")

    def open(self, name: str, flags: int) -> int:
        """A descriptor of the guest."""
        return int(self._ask("open", name, flags)[0])

    def close(self, descriptor: int) -> None:
        """Returns when the server has all that was written."""
        self._ask("close", descriptor)

    def read(self, descriptor: int, offset: int, count: int) -> bytes:
        """Fewer bytes at the end of the file."""
        return self._ask("read", descriptor, offset, count)[1]

    def write(self, descriptor: int, offset: int, data: bytes) -> None:
        """Into the guest's memory, which sends it when it likes. Raises OSError, also for a short write."""
        written = self._ask("write", descriptor, offset, data=data)[0]
        if written != len(data):
            raise OSError(f"pwrite in the guest took {written} of {len(data)} bytes")

    def sync(self, descriptor: int) -> None:
        """Returns when the server has all that was written."""
        self._ask("sync", descriptor)

    def truncate(self, descriptor: int, size: int) -> None:
        """Cut the file, or let it grow by zeros, to so many bytes."""
        self._ask("truncate", descriptor, size)

    def copy(self, how: str, source: str, target: str) -> None:
        """A whole file by range (copy_file_range), clone (FICLONE) or bytes; returns when the server has it."""
        self._ask("copy", how, source, target)

    def rename(self, old: str, new: str) -> None:
        """Replaces what has the new name."""
        self._ask("rename", old, new)

    def delete(self, name: str) -> None:
        """A file."""
        self._ask("delete", name)

    def size(self, name: str) -> int:
        """In bytes, by its name."""
        return int(self._ask("size", name)[0])

    def names(self) -> list[str]:
        """Of the client's folder."""
        return list(self._ask("names")[0])

    def listen(self) -> None:
        """Raise GuestFailed when the kernel's client has complained on the console, which it does not when all is well."""
        if "CIFS:" in self._heard():
            raise GuestFailed(self._tail())

    def _ask(self, what: str, *words: str | int, data: bytes = b"") -> tuple[Any, bytes]:
        end = threading.Timer(self._patience, self._process.kill)
        end.start()
        try:
            value, error, answer = self._exchange(
                json.dumps([what, words, len(data)]).encode() + b"\n" + data
            )
        except (OSError, ValueError) as failure:  # its channel is closed, or ends before the answer does
            ended = f"{what} {words}: the guest has ended, or not answered for {self._patience:g} s"
            raise GuestFailed(f"{ended}; {self._tail()}") from failure
        finally:
            end.cancel()
        self._patience = ANSWER_SECONDS
        if error:
            raise OSError(error, f"{what} {words} in the guest: {value}")
        return value, answer

    def _exchange(self, request: bytes) -> tuple[Any, int, bytes]:
        """Value, error number and bytes of the answer. Raises OSError or ValueError when it does not come."""
        requests, answers = self._process.stdin, self._process.stdout
        assert requests is not None
        assert answers is not None
        requests.write(request)
        requests.flush()
        value, error, count = json.loads(answers.readline())
        data = answers.read(count)
        if len(data) != count:
            raise ValueError(f"{len(data)} of {count} bytes")
        return value, error, data

    def _tail(self) -> str:
        return f"its console ends with: {self._heard()[-TAIL_CHARACTERS:].strip()}"

    def _heard(self) -> str:
        return self._console.read_text(errors="replace") if self._console.exists() else ""
