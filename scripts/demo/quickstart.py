"""The quickstart's second half: `scripts/quickstart` has set everything up when this runs."""

import argparse
import hashlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from disk_image import DISK_BYTES, make_disk
from rich.console import Console
from rich.table import Table

ODXFS = Path(sys.executable).with_name("odxfs")
SHARE = "demo"
USER = "odx"
DISK, TOKEN_COPY, PLAIN_COPY = "disk.vhdx", "copy-by-token.vhdx", "copy-by-bytes.vhdx"
console = Console(highlight=False, soft_wrap=True)


class QuickstartError(Exception):
    """Something the reader can act on; one line."""


@dataclass(frozen=True)
class Demo:
    """Where everything of one run is."""

    pool: Path
    mountpoint: Path
    port: int
    password: str

    def url(self, name: str) -> str:
        return f"smb://{USER}@127.0.0.1:{self.port}/{SHARE}/{name}"

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "ODXFS_PASSWORD": self.password}


def main() -> int:
    """Run the quickstart; the exit code is 0 only if every check held."""
    arguments = _arguments()
    pool = arguments.directory.resolve()
    demo = Demo(pool, pool.with_name(pool.name + "-mount"), arguments.port, secrets.token_urlsafe(12))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with _serving(demo):
            _print_connection_lines(demo)
            held = _copy_and_check(demo)
            if not arguments.once:
                _serve_until_interrupted(demo)
        return 0 if held else 1
    except QuickstartError as error:
        print(f"quickstart: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/quickstart", description=__doc__)
    parser.add_argument("--once", action="store_true", help="stop when the copies are checked")
    parser.add_argument("--port", type=int, default=4450, help="SMB port on 127.0.0.1 (default 4450)")
    parser.add_argument("directory", type=Path, nargs="?", default=Path("quickstart-pool"), help="the pool")
    return parser.parse_args()


@contextmanager
def _serving(demo: Demo) -> Iterator[None]:
    """A pool in demo.pool, mounted and shared; unmounted and clean afterwards, however the block ends."""
    _require_free_port(demo.port)
    if not (demo.pool / "pool.json").exists():
        _odxfs("mkfs", str(demo.pool))
    users = json.loads(_odxfs("user", "list", str(demo.pool), "--json"))
    verb = "passwd" if any(user["name"] == USER for user in users) else "add"
    _odxfs("user", verb, str(demo.pool), USER, "--password-stdin", stdin=demo.password + "\n")
    demo.mountpoint.mkdir(exist_ok=True)
    listen = f"127.0.0.1:{demo.port}"
    _odxfs("mount", str(demo.pool), str(demo.mountpoint), "--share", SHARE, "--smb-listen", listen)
    try:
        yield
    finally:
        _odxfs("umount", str(demo.mountpoint))
        demo.mountpoint.rmdir()
        console.print(f"\nUnmounted and stopped. The pool stays in {demo.pool}")


def _require_free_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise QuickstartError(f"port {port} on 127.0.0.1 is in use; choose another with --port") from None


def _print_connection_lines(demo: Demo) -> None:
    console.print(f"\n[bold]{demo.pool} is a pool, mounted on {demo.mountpoint} and shared as {SHARE}[/bold]")
    console.print(f"user {USER}, password {demo.password}\n")
    console.print(f"  smbclient   smbclient //127.0.0.1/{SHARE} -p {demo.port} -U '{USER}%{demo.password}'")
    console.print(
        f"  Linux       mount -t cifs //127.0.0.1/{SHARE} /mnt "
        f"-o port={demo.port},vers=3.1.1,username={USER},password={demo.password}"
    )
    console.print(
        f"  Windows     New-SmbMapping -LocalPath Z: -RemotePath \\\\HOST\\{SHARE} -TcpPort {demo.port} "
        f"-UserName {USER} -Password {demo.password}"
    )
    console.print(
        "              (designed for, not yet observed; HOST must reach this machine, see --smb-listen)\n"
    )


def _copy_and_check(demo: Demo) -> bool:
    """Store a VM disk through the share, copy it by token and by bytes, check both; whether everything held."""
    with tempfile.TemporaryDirectory(prefix=".quickstart-", dir=demo.pool.parent) as scratch:
        disk = Path(scratch, DISK)
        with console.status("making a VM disk with qemu-img"):
            content_bytes = make_disk(Path(scratch), disk)
        console.print(
            f"VM disk: a fixed VHDX of {_bytes(disk.stat().st_size)} for a disk of {_bytes(DISK_BYTES)}, "
            f"holding an ext4 file system with {_bytes(content_bytes)} of files"
        )
        with console.status("storing it through the share with smbclient"):
            _smbclient_put(demo, Path(scratch), disk)
        console.print("stored through the share with smbclient")
        digest = _sha256(disk)
    with console.status("copying it by token"):
        by_token = _copy(demo, TOKEN_COPY, "--require-offload")
    with console.status("copying it by plain read and write"):
        by_bytes = _copy(demo, PLAIN_COPY, "--no-offload")
    with console.status("checking both copies through the mount"):
        checks = _checks(demo, digest)
    checks["offloaded completely, by token"] = (
        by_token["mechanism"] == "token" and by_token["offloaded_bytes"] == by_token["logical_bytes"]
    )
    _print_evidence(by_token, by_bytes)
    for name, held in checks.items():
        console.print(f"  {'[green]ok[/green]  ' if held else '[red]FAIL[/red]'} {name}")
    return all(checks.values())


def _smbclient_put(demo: Demo, scratch: Path, disk: Path) -> None:
    credentials = scratch / "credentials"
    credentials.touch(mode=0o600)
    credentials.write_text(f"username = {USER}\npassword = {demo.password}\n")
    target = f"//127.0.0.1/{SHARE}"
    command = ["smbclient", target, "-p", str(demo.port), "-A", str(credentials), "-c", f"put {disk} {DISK}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise QuickstartError(
            f"smbclient could not store the disk: {done.stdout.strip()} {done.stderr.strip()}"
        )


def _copy(demo: Demo, name: str, how: str) -> dict[str, Any]:
    result = _odxfs("cp", "--json", how, demo.url(DISK), demo.url(name), environment=demo.environment)
    parsed: dict[str, Any] = json.loads(result)
    return parsed


def _checks(demo: Demo, digest: str) -> dict[str, bool]:
    held = {}
    for name in (TOKEN_COPY, PLAIN_COPY):
        command = ["qemu-img", "compare", "-q", str(demo.mountpoint / DISK), str(demo.mountpoint / name)]
        held[f"qemu-img compare: {name} equals the disk"] = (
            subprocess.run(command, check=False).returncode == 0
        )
        held[f"sha256 through the mount: {name} equals what was stored"] = (
            _sha256(demo.mountpoint / name) == digest
        )
    return held


def _print_evidence(by_token: dict[str, Any], by_bytes: dict[str, Any]) -> None:
    table = Table(title="one copy of the disk on the share", title_justify="left")
    table.add_column("")
    table.add_column("by token", justify="right")
    table.add_column("by read and write", justify="right")
    for label, key in (
        ("logical bytes", "logical_bytes"),
        ("sent on the wire", "wire_sent_bytes"),
        ("received on the wire", "wire_received_bytes"),
        ("copied without moving", "offloaded_bytes"),
    ):
        table.add_row(label, _bytes(by_token[key]), _bytes(by_bytes[key]))
    table.add_row("tokens", str(by_token["tokens"]), str(by_bytes["tokens"]))
    table.add_row("seconds", f"{by_token['seconds']:.3f}", f"{by_bytes['seconds']:.3f}")
    table.add_row("mechanism", by_token["mechanism"], by_bytes["mechanism"])
    console.print()
    console.print(table)


def _serve_until_interrupted(demo: Demo) -> None:
    console.print(f"\nServing 127.0.0.1:{demo.port} and {demo.mountpoint}. Stop with Ctrl-C.")
    try:
        signal.pause()
    except KeyboardInterrupt:
        return


def _odxfs(*words: str, stdin: str | None = None, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        [str(ODXFS), *words], input=stdin, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise QuickstartError(f"'odxfs {words[0]}' failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _bytes(count: int) -> str:
    size = float(count)
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.2f} GiB"


if __name__ == "__main__":
    if shutil.which("smbclient") is None:
        sys.exit("quickstart: smbclient is missing; scripts/setup installs it")
    sys.exit(main())
