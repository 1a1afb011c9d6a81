"""A network and mounts of its own for a thread and whatever it starts: nobody else's ports, firewall rules and mount points.

Linux keeps namespaces by thread. They are gone when the thread and its processes are.
"""

import ctypes
import os
import subprocess
from pathlib import Path

_CLONE_NEWNS = 0x0002_0000
_CLONE_NEWNET = 0x4000_0000


def leave_for_own_network() -> None:
    """Put the calling thread into a network that has a loopback interface alone. Raises OSError for who is not root."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET | _CLONE_NEWNS) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"no network of its own: {os.strerror(error)}")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def name_this_host(name: str, hosts: Path) -> None:
    """Have `name` be this host for the calling thread's processes, by a file `hosts` in the place of /etc/hosts."""
    hosts.write_text(f"127.0.0.1 localhost {name}\n", encoding="ascii")
    subprocess.run(["mount", "--bind", hosts, "/etc/hosts"], check=True)
