"""A throw-away smbd, configured and run inside a temporary folder, as an independent peer."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.ports import free_port

USER = "root"
PASSWORD = "throw-away"
START_SECONDS = 60.0

_CONFIGURATION = """
[global]
    workgroup = WORKGROUP
    server role = standalone server
    interfaces = 127.0.0.1
    bind interfaces only = yes
    smb ports = {port}
    lock directory = {base}/lock
    state directory = {base}/state
    cache directory = {base}/cache
    pid directory = {base}/pid
    private dir = {base}/private
    ncalrpc dir = {base}/ncalrpc
    passdb backend = tdbsam:{base}/private/passdb.tdb
    log file = {base}/log
    logging = file
    log level = 1
    disable netbios = yes
    load printers = no
    disable spoolss = yes
    smb2 max credits = 8192
    restrict anonymous = 2
{extra}

[data]
    path = {base}/data
    read only = no
    force user = root
    {share_extra}

[other]
    path = {base}/data
    read only = no
    force user = root
"""


@dataclass(frozen=True)
class Samba:
    """A running smbd: share `data` (and `other`, the same folder) on 127.0.0.1."""

    port: int
    data: Path
    user: str = USER
    password: str = PASSWORD

    def url(self, path: str = "", share: str = "data") -> str:
        return f"smb://{self.user}@127.0.0.1:{self.port}/{share}/{path}"


@contextmanager
def run_samba(base: Path, extra: Mapping[str, str] | None = None, share_extra: str = "") -> Iterator[Samba]:
    """Run smbd until the context is left. `extra` are lines of its [global] section, `share_extra` one of [data]."""
    port = free_port()
    for name in ("lock", "state", "cache", "pid", "private", "ncalrpc", "data"):
        (base / name).mkdir()
    lines = "\n".join(f"    {key} = {value}" for key, value in (extra or {}).items())
    configuration = base / "smb.conf"
    configuration.write_text(
        _CONFIGURATION.format(base=base, port=port, extra=lines, share_extra=share_extra), encoding="ascii"
    )
    _add_user(configuration)
    smbd = shutil.which("smbd") or "/usr/sbin/smbd"
    process = subprocess.Popen(
        [smbd, "-F", "--no-process-group", "-s", str(configuration), "-p", str(port)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # on SIGTERM it signals its whole process group, which must not be ours
    )
    try:
        _wait_for(port, process, base / "log")
        yield Samba(port, base / "data")
    finally:
        process.terminate()
        process.wait()


def _add_user(configuration: Path) -> None:
    subprocess.run(
        ["smbpasswd", "-c", str(configuration), "-L", "-s", "-a", USER],
        input=f"{PASSWORD}\n{PASSWORD}\n",
        text=True,
        check=True,
        capture_output=True,
        env={**os.environ, "PATH": os.environ.get("PATH", "") + ":/usr/sbin"},
    )


def _wait_for(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Until smbd accepts connections; there is nothing to be told by, so it is asked."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
                raise AssertionError(f"smbd does not start: {text[-2000:]}") from None
            time.sleep(0.05)
        else:
            return
