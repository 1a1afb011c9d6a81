"""The Linux kernel's SMB client in a virtual machine (scripts/guest), which runs `guest.sh` and `guest_use.py`.

Its console is the way to talk: it says how a cell has ended and asks for what a program on this machine sees or does on the same
volume's mount.
"""

import fcntl
import hashlib
import re
import subprocess
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path

from machine import Machine, make_machine
from servers import free_port
from shared_mount import SharedMount, Traffic, difference, protection_fault, shared_mount

CELLS = tuple(
    (dialect, protection)
    for dialect in ("2.1", "3.0", "3.0.2", "3.1.1")
    for protection in ("plain", "signed", "encrypted")
    if (dialect, protection) != ("2.1", "encrypted")
)
GUEST_SECONDS = 900
_SAID = re.compile(r"(CELL|HOST) (.*)")


@dataclass
class Guest:
    """What came of one boot: a result a cell, the kernel's version, and what the server had to complain about."""

    kernel: str
    cells: dict[tuple[str, str], str] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)


def run_guest() -> Guest:
    """Boot the guest against a server of its own. A cell that it says nothing of has the result "nothing was said"."""
    here = Path(__file__).parent
    with (
        tempfile.TemporaryDirectory(prefix="odxfs-guest-") as base,
        shared_mount(Path(base, "server"), "127.0.0.1", free_port(), "--signing", "offered") as server,
    ):
        script = (here / "guest.sh").read_text(encoding="ascii").replace("PORT", str(server.port))
        machine = make_machine(Path(base, "machine"), script, [here / "guest_use.py"])
        guest = Guest(machine.version, dict.fromkeys(CELLS, "nothing was said"))
        _converse(guest, server, machine)
        guest.complaints += server.complaints()
    return guest


def _converse(guest: Guest, server: SharedMount, machine: Machine) -> None:
    process = subprocess.Popen(
        machine.words("-nographic"),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    end = threading.Timer(GUEST_SECONDS, process.kill)
    end.start()
    try:
        before = server.traffic()
        for line in process.stdout:
            found = _SAID.search(line.decode("utf-8", "replace"))
            if found is None:
                continue
            answer = "go on"
            if found[1] == "CELL":
                now = server.traffic()
                _keep_result(guest, found[2].strip(), difference(now, before))
                before = now
            else:
                answer = _answer(server, *found[2].split())
            process.stdin.write(f"{answer}\n".encode("ascii"))
            process.stdin.flush()
    finally:
        end.cancel()
        process.kill()
        process.wait()


def _keep_result(guest: Guest, said: str, came: Traffic) -> None:
    dialect, protection, result = (*said.split(maxsplit=2), "")[:3]
    fault = protection_fault(
        _without_few_signed(came) if protection == "plain" else came, dialect, protection
    )
    guest.cells[dialect, protection] = fault if result.strip() == "ok" and fault else result.strip()
    print(f"{'Linux':12} {dialect:6} {protection:10} {guest.cells[dialect, protection]}", flush=True)


def _without_few_signed(came: Traffic) -> Traffic:
    """A client that signs nothing else signs what a downgrade would be seen by: TREE_CONNECT and VALIDATE_NEGOTIATE_INFO."""
    plain = sum(count for (_, how), count in came.items() if how == "plain")
    return {key: count for key, count in came.items() if key[1] != "signed" or count > plain // 10}


def _answer(server: SharedMount, verb: str, name: str, *words: str) -> str:
    """What a program on this machine sees, or does, with a file of the mount."""
    file = server.mountpoint / name
    if verb == "copied":
        return str(server.copied_bytes(name))
    if verb == "hash":
        return hashlib.sha256(file.read_bytes()).hexdigest()
    if verb == "blocks":
        return str(file.stat().st_blocks)
    if verb == "write":
        with file.open("r+b") as opened:
            opened.seek(int(words[0]))
            opened.write(words[1].encode("ascii"))
        return "done"
    with file.open("r+b") as opened:
        try:
            fcntl.lockf(opened, fcntl.LOCK_EX | fcntl.LOCK_NB, int(words[1]), int(words[0]))
        except OSError:
            return "refused"
    return "taken"
