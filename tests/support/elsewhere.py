"""A second host on one cable: a network namespace. What is sent to it is lost once the cable is cut. Needs root."""

import ctypes
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Host:
    """`address` is this side's, which the other host can reach."""

    address: str
    name: str

    def make_socket(self) -> socket.socket:
        """A TCP socket of the other host."""
        here, there = (
            os.open("/proc/self/ns/net", os.O_RDONLY),
            os.open(f"/run/netns/{self.name}", os.O_RDONLY),
        )
        try:
            _enter(there)
            try:
                return socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            finally:
                _enter(here)
        finally:
            os.close(here)
            os.close(there)

    def cut(self) -> None:
        """Cut the cable: neither side is told, and nothing passes."""
        _ip("-n", self.name, "link", "set", "eth0", "down")


@contextmanager
def elsewhere() -> Iterator[Host]:
    """The other host; names and addresses are of this process, so that test processes do not meet."""
    number = os.getpid() % 16384
    first = f"198.18.{number >> 6}.{(number & 63) << 2}".rpartition(".")
    network, base = first[0], int(first[2])
    host = Host(f"{network}.{base + 1}", f"odxfs-{number}")
    link = f"odxfs{number}"
    _ip("netns", "add", host.name)
    try:
        _ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", host.name)
        _ip("address", "add", f"{host.address}/30", "dev", link)
        _ip("link", "set", link, "up")
        _ip("-n", host.name, "address", "add", f"{network}.{base + 2}/30", "dev", "eth0")
        _ip("-n", host.name, "link", "set", "eth0", "up")
        yield host
    finally:
        _ip("netns", "delete", host.name)
        if Path(f"/sys/class/net/{link}").exists():
            _ip("link", "delete", link)


def _enter(descriptor: int) -> None:
    """Put this thread into a network namespace (setns(2))."""
    if _libc.setns(descriptor, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)
