"""Samba's programs in a cell: smbclient, smbcacls, rpcclient."""

import re
import subprocess

from cells import Cell, Fault, require
from servers import PASSWORD, SHARE, USER

NAMES = {"2.1": "SMB2_10", "3.0": "SMB3_00", "3.0.2": "SMB3_02", "3.1.1": "SMB3_11"}
CLIENT_SECONDS = 60


def smbclient(cell: Cell) -> None:
    """Files: put, get, a server-side copy, rename, list, a named stream, delete."""
    said = _smbclient(
        cell,
        f"put {cell.original} file",
        f"get file {cell.folder}/back",
        "scopy file copied",
        "rename file renamed",
        "ls",
        f"put {cell.original} renamed:stream",
        f"get renamed:stream {cell.folder}/stream",
        "allinfo renamed",
        f"get copied {cell.folder}/copied",
        "mkdir folder",
        "rename renamed folder\\renamed",
    )
    listed = set(re.findall(r"^  (\S+) +[A-Z]* +\d+ ", said, re.MULTILINE))
    require({"renamed", "copied"} <= listed and "file" not in listed, "ls does not show what there is")
    require("[:stream:$DATA]" in said, "allinfo does not show the stream")
    for name in ("back", "stream", "copied"):
        cell.require_copy(cell.folder / name)
    cell.require_copy(cell.on_mount("folder/renamed"))
    _smbclient(cell, "del folder\\renamed", "rmdir folder", "del copied")
    require(list(cell.on_mount("").iterdir()) == [], "something is left after all was deleted")


def _smbclient(cell: Cell, *commands: str) -> str:
    place = (f"//{cell.server.address}/{SHARE}", f"--port={cell.server.port}", f"--directory={cell.name}")
    return _said(cell, "smbclient", *place, f"--command={'; '.join(commands)}")


def smbcacls(cell: Cell) -> None:
    """A file's access list: read, an entry added, changed and taken away."""
    cell.on_mount("file").write_bytes(b"with an access list")
    place = ("smbcacls", f"//{cell.server.address}/{SHARE}", f"{cell.name}/file")
    require("OWNER:" in _said(cell, *place), "no owner is shown")
    _said(cell, *place, "--add", "ACL:Everyone:ALLOWED/0x0/READ")
    require("ACL:Everyone:ALLOWED/0x0/READ" in _said(cell, *place), "the entry was not added")
    _said(cell, *place, "--modify", "ACL:Everyone:ALLOWED/0x0/CHANGE")
    require("ACL:Everyone:ALLOWED/0x0/CHANGE" in _said(cell, *place), "the entry was not changed")
    _said(cell, *place, "--delete", "ACL:Everyone:ALLOWED/0x0/CHANGE")
    require("ACL:Everyone:ALLOWED/0x0/CHANGE" not in _said(cell, *place), "the entry was not taken away")


def rpcclient(cell: Cell) -> None:
    """Shares, the server's information, and names and SIDs looked up."""
    require(f"netname: {SHARE}" in _rpcclient(cell, "netshareenumall"), "the share is not listed")
    require("ODXFS" in _rpcclient(cell, "srvinfo"), "srvinfo does not name the server")
    sid = re.search(r"S-1-5-21[-\d]+", _rpcclient(cell, f"lookupnames {USER}"))
    require(sid is not None, f"{USER} has no SID")
    assert sid is not None
    require(f"\\{USER} (1)" in _rpcclient(cell, f"lookupsids {sid[0]}"), "the SID has not got its name")


def _rpcclient(cell: Cell, command: str) -> str:
    return _said(cell, "rpcclient", cell.server.address, f"--port={cell.server.port}", f"--command={command}")


def _said(cell: Cell, *words: str) -> str:
    """What the program prints, in the cell's dialect and protection; Fault when it fails."""
    name = NAMES[cell.dialect]
    limits = [
        f"--option={kind} {end} protocol={name}"
        for kind in ("client", "client ipc")
        for end in ("min", "max")
    ]
    protection = f"--client-protection={'encrypt' if cell.encrypts else 'sign'}"
    done = subprocess.run(
        [*words, f"--user={USER}%{PASSWORD}", "--configfile=/dev/null", *limits, protection],
        check=False, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=CLIENT_SECONDS,
    )  # fmt: skip
    if done.returncode or "NT_STATUS" in done.stdout:
        trouble = [line for line in done.stdout.splitlines() if "NT_STATUS" in line] or [done.stdout[-200:]]
        raise Fault(f"{words[0]}: {trouble[0].strip()}")
    return done.stdout
