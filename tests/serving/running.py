"""A pool with two SVMs, served by a process of its own: `default` with alice, `b` with bob; both have one password."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from odxfs.ntstatus import Status
from odxfs.wire.fsctl.codes import Fsctl
from odxfs.wire.fsctl.offload import OffloadReadInput, OffloadReadOutput
from odxfs.wire.header import Command
from odxfs.wire.ioctl import IoctlRequest, IoctlResponse
from tests.mount.command import TIMEOUT_SECONDS, Result, in_foreground, odxfs, odxfs_ok
from tests.support.peer import Peer

MIB = 1024 * 1024
PASSWORD = "correct horse"
ALICE, BOB = "alice", "bob"

CONFIGURATION = """\
# two SVMs
[svm.default]
listen = "127.0.0.1:0"  # the system chooses

# the second
[svm.b]
listen = "127.0.0.1:0"
server-name = "SECOND"
volumes = ["db"]
"""


@dataclass(frozen=True)
class Running:
    """The served pool; `file` is its configuration."""

    directory: Path
    process: "subprocess.Popen[bytes]"

    @property
    def file(self) -> Path:
        return self.directory / "odxfs.toml"

    def status(self) -> Any:
        return odxfs_ok("status", self.directory, "--json").json

    def svm(self, name: str) -> Any:
        """What the status says of one SVM."""
        return next(svm for svm in self.status()["svms"] if svm["name"] == name)

    def port(self, name: str) -> int:
        """Where an SVM listens."""
        return int(self.svm(name)["listen"][0].rpartition(":")[2])

    def change(self, old: str, new: str) -> None:
        """Edit the configuration by hand."""
        text = self.file.read_text()
        assert old in text
        self.file.write_text(text.replace(old, new))

    def reload(self) -> Result:
        return odxfs("config", "reload", self.directory)

    def smbclient(self, svm: str, user: str, share: str, commands: str | list[str], *options: str) -> Result:
        """Run Samba's smbclient; both of its outputs are in `out`. A list goes line by line into one session's stdin."""
        login = self.directory.parent / "login"
        login.write_text(f"username = {user}\npassword = {PASSWORD}\n")
        words = ["smbclient", f"//127.0.0.1/{share}", "-p", str(self.port(svm)), "-A", str(login), *options]
        words += ["-c", commands] if isinstance(commands, str) else []
        done = subprocess.run(
            words,
            input="" if isinstance(commands, str) else "".join(f"{line}\n" for line in commands),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
        return Result(done.returncode, done.stdout, "")

    def smbclient_ok(self, svm: str, user: str, share: str, commands: str | list[str], *options: str) -> str:
        done = self.smbclient(svm, user, share, commands, *options)
        assert done.code == 0, done.out
        assert "NT_STATUS" not in done.out, done.out
        return done.out

    def url(self, svm: str, user: str, share: str, path: str) -> str:
        return f"smb://{user}@127.0.0.1:{self.port(svm)}/{share}/{path}"


def make_pool(directory: Path, configuration: str = CONFIGURATION) -> None:
    """A pool with the volumes main and db, the configuration, and for each SVM a user and a share of its name."""
    odxfs_ok("mkfs", directory)
    odxfs_ok("volume", "create", directory, "db")
    (directory / "odxfs.toml").write_text(configuration)
    odxfs_ok("user", "add", directory, ALICE, "--password-stdin", stdin=PASSWORD)
    odxfs_ok("user", "add", directory, BOB, "--svm", "b", "--password-stdin", stdin=PASSWORD)
    odxfs_ok("share", "add", directory, "first")
    odxfs_ok("share", "add", directory, "second", "--svm", "b")


@contextmanager
def serving(base: Path, configuration: str = CONFIGURATION) -> Iterator[Running]:
    """Serve a new pool until the block ends; then the pool must be clean."""
    directory = base / "pool"
    make_pool(directory, configuration)
    with in_foreground("serve", str(directory)) as process:
        yield Running(directory, process)
        odxfs_ok("umount", directory)
        assert process.wait(60) == 0
    assert odxfs_ok("fsck", directory, "--json").json["found"] == []


async def offload_read(peer: Peer, name: str, size: int) -> tuple[Status, int]:
    """The status of OFFLOAD_READ of a whole new file, and how many bytes the token stands for."""
    fid = await peer.open(name)
    for offset in range(0, size, MIB):
        await peer.write(fid, offset, b"x" * min(MIB, size - offset))
    request = OffloadReadInput(token_time_to_live=0, file_offset=0, copy_length=size // 512 * 512).pack()
    answer = await peer.answer(
        Command.IOCTL, IoctlRequest(Fsctl.OFFLOAD_READ, fid, request, 0, OffloadReadOutput.LAYOUT.size, 1)
    )
    await peer.close(fid)
    status = Status(answer.header.status)
    if status is not Status.SUCCESS:
        return status, 0
    return status, OffloadReadOutput.unpack(IoctlResponse.unpack(answer.pdu).output_buffer).transfer_length
