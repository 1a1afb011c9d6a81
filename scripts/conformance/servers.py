"""odxfs servers for others' tests and clients: mounted, two users, and shares as in Samba's selftest."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SMB_PORT = 445
SHARE = "data"
USER, OTHER_USER, PASSWORD = "alice", "bob", "secret"
UIDS = {USER: 0, OTHER_USER: 1000}
"""The first has every privilege, the second none."""

MORE_SHARES: Mapping[str, tuple[str, ...]] = {
    "hideunread": ("--access-based-enumeration",),
    "available": ("--continuously-available",),
    "noperm": ("--path", "noperm"),
    "previous": ("--path", "previous"),
}
"""By name, with what each is. Tests ask for hideunread and noperm by name."""

START_SECONDS = 60.0
END_SECONDS = 60.0
ODXFS = Path(sys.executable).with_name("odxfs")


@dataclass(frozen=True)
class Server:
    """A running server, and how to see whether it still is sound. Its volume is mounted at `mount_point`."""

    process: "subprocess.Popen[bytes]"
    port: int
    log: Path
    pool: Path
    mount_point: Path

    def complaints(self) -> list[str]:
        """Lines of the log that no client should be able to cause, and the news that the process is gone."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        bad = [line for line in lines if "level=error" in line or line.startswith("Traceback")]
        if self.process.poll() is not None:
            bad.append(f"the server has ended with {self.process.returncode}")
        return bad


@contextmanager
def serving(
    base: Path,
    *options: str,
    template: Path | None = None,
    port: int | None = None,
    variables: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """Mount and share a pool of its own below `base` until the context is left. `options` are those of `odxfs mount`.

    The pool is a copy of `template`, which `make_pool` has made and nobody serves.
    """
    pool, log, mount_point = base / "pool", base / "log", base / "mount"
    mount_point.mkdir(parents=True)
    if template is None:
        make_pool(pool)
    else:
        shutil.copytree(template, pool)
    port = port or free_port()
    words = [ODXFS, "mount", pool, mount_point, "--foreground", "--share", SHARE]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*words, "--smb-listen", f"127.0.0.1:{port}", *options],
            env=os.environ | (variables or {}),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    server = Server(process, port, log, pool, mount_point)
    try:
        _wait_for(server)
        _lay_out(mount_point)
        yield server
    finally:
        _end(process)


def run_odxfs(*words: str, stdin: str = "") -> str:
    """Run a command of odxfs, which must succeed; what it says."""
    done = subprocess.run([ODXFS, *words], input=stdin, text=True, check=True, stdout=subprocess.PIPE)
    return done.stdout


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def make_pool(pool: Path) -> None:
    """With users and shares."""
    run_odxfs("mkfs", str(pool))
    for user, uid in UIDS.items():
        ids = ("--uid", str(uid), "--gid", str(uid))
        run_odxfs("user", "add", str(pool), user, *ids, "--password-stdin", stdin=f"{PASSWORD}\n")
    for share, what in MORE_SHARES.items():
        run_odxfs("share", "add", str(pool), share, *what)


def _lay_out(mount_point: Path) -> None:
    """Whoever logs in may write, but for the folder of noperm, which nobody may enter."""
    mount_point.chmod(0o777)
    for name, mode in (("noperm", 0o000), ("previous", 0o777)):
        (mount_point / name).mkdir()
        (mount_point / name).chmod(mode)


def _wait_for(server: Server) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not (server.mount_point.is_mount() and _listens(server.port)):
        if server.process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"the server does not start:\n{server.log.read_text()[-2000:]}")
        time.sleep(0.05)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
