"""Samba's smbclient as a peer."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

import trio

from tests.support.serving import PASSWORD, SHARE, USER, Served


class Smbclient:
    """Runs smbclient as `alice` against one server; the password is in a file that only it reads."""

    def __init__(self, served: Served, folder: Path) -> None:
        self._served = served
        self._login = folder / "login"
        self._login.write_text(f"username = {USER}\npassword = {PASSWORD}\n")

    async def run(self, *words: str, login: Path | None = None) -> subprocess.CompletedProcess[bytes]:
        """The finished process, whatever its exit code; both outputs are in `stdout`."""
        command = ["smbclient", *words, "-p", str(self._served.port), "-A", str(login or self._login)]
        return await trio.run_process(command, capture_stdout=True, stderr=subprocess.STDOUT, check=False)

    async def share(self, commands: Sequence[str], *options: str, share: str = SHARE) -> str:
        """What smbclient prints for `commands` on the share; they must all succeed."""
        done = await self.run(f"//127.0.0.1/{share}", *options, "-c", "; ".join(commands))
        text = done.stdout.decode()
        assert done.returncode == 0, text
        assert "NT_STATUS" not in text
        return text
