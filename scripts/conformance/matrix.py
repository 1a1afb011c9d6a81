"""The matrix of clients: each in every dialect, signed and encrypted. Started by `run --matrix`; see --help. Needs root.

A signal that would end it ends it with its servers unmounted.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from importlib.metadata import version
from itertools import product
from pathlib import Path

from cells import DIALECTS, PROTECTIONS, CannotDo, Cell, Client, Fault
from guest import run_guest
from python_clients import impacket, smbprotocol
from report import put_table
from samba_clients import rpcclient, smbcacls, smbclient
from servers import free_port
from shared_mount import SharedMount, difference, protection_fault, shared_mount

CLIENTS: Mapping[str, Client] = {
    "smbclient": smbclient,
    "smbcacls": smbcacls,
    "rpcclient": rpcclient,
    "smbprotocol": smbprotocol,
    "impacket": impacket,
}
GUEST = "Linux"
IMPACKET = "impacket"
"""It encrypts wherever it can, so to sign alone it is on a server without encryption. It signs slowly: its file is smaller."""

EXIT_TERMINATED = 143
NOT_IN_2_1 = "not in 2.1"
ORIGINAL_BYTES, SMALLER_BYTES = 3 * 1024 * 1024 + 777, 128 * 1024 + 777
SMB_PORT = 445
"""smbcacls knows no other port, so the server has a loopback address of its own."""

Results = dict[tuple[str, str, str], str]
"""By client, dialect and protection: ok, why not, or why there is nothing to be done."""


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_TERMINATED))
    arguments = _arguments()
    dialects = arguments.dialects.split(",")
    wanted = arguments.clients.split(",")
    results, versions, complaints = run_matrix([name for name in CLIENTS if name in wanted], dialects)
    if GUEST in wanted:
        _run_guest(results, versions, complaints)
    if arguments.write:
        put_table("client", table_rows(results, versions))
    bad = [f"{' '.join(cell)}: {result}" for cell, result in results.items() if _is_failure(result)]
    print(*bad, *complaints, sep="\n", end="\n" if bad or complaints else "")
    cells = [result for result in results.values() if result != NOT_IN_2_1]
    print(f"{cells.count('ok')} of {len(cells)} cells are ok")
    return 1 if bad or complaints else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/conformance/run --matrix",
        description="Let clients that others wrote do what their users do, in each dialect, signed and encrypted, and "
        "look from the server's side whether it was so. Ends with 1 when a cell fails or the server complains.",
    )
    everybody = ",".join([*CLIENTS, GUEST])
    parser.add_argument("--clients", default=everybody, help=f"these alone, by commas: {everybody}")
    parser.add_argument("--dialects", default=",".join(DIALECTS), help="these alone; of Linux always all")
    parser.add_argument(
        "--write", action="store_true", help="write the table of the guide (of a run of everything)"
    )
    arguments = parser.parse_args()
    if arguments.write and (arguments.clients, arguments.dialects) != (everybody, ",".join(DIALECTS)):
        parser.error("--write is for a run of everything")
    return arguments


def run_matrix(clients: Sequence[str], dialects: Sequence[str]) -> tuple[Results, dict[str, str], list[str]]:
    """Every cell of those clients, their versions, and what the servers had to complain about."""
    results: Results = {}
    with tempfile.TemporaryDirectory(prefix="odxfs-matrix-") as base, ExitStack() as stack:
        folder = Path(base)
        address = f"127.77.{os.getpid() >> 8 & 255}.{os.getpid() % 254 + 1}"
        usual = signing = stack.enter_context(shared_mount(folder / "usual", address, SMB_PORT))
        if IMPACKET in clients:
            context = shared_mount(folder / "signing", address, free_port(), "--encryption", "off")
            signing = stack.enter_context(context)
        for key in product(clients, dialects, PROTECTIONS):
            client, _, protection = key
            server = signing if (client, protection) == (IMPACKET, "signed") else usual
            results[key] = _run_cell(CLIENTS[client], _make_cell(server, folder, *key))
            print(f"{client:12} {key[1]:6} {protection:10} {results[key]}", flush=True)
        complaints = [*usual.complaints(), *signing.complaints()]
    return results, {name: version_of(name) for name in clients}, complaints


def _make_cell(server: SharedMount, base: Path, client: str, dialect: str, protection: str) -> Cell:
    name = f"{client}-{dialect}-{protection}"
    folder = base / name
    cell = Cell(server, dialect, protection, folder, folder / "original", name)
    folder.mkdir()
    cell.on_mount("").mkdir()
    cell.original.write_bytes(os.urandom(SMALLER_BYTES if client == IMPACKET else ORIGINAL_BYTES))
    return cell


def _run_cell(client: Client, cell: Cell) -> str:
    if cell.encrypts and cell.dialect == "2.1":
        return NOT_IN_2_1
    before = cell.server.traffic()
    try:
        client(cell)
    except CannotDo as reason:
        return f"cannot: {reason}"
    except Fault as fault:
        return str(fault)
    except Exception as error:  # whatever a client raises is its result
        return f"{type(error).__name__}: {error}"
    came = difference(cell.server.traffic(), before)
    return protection_fault(came, cell.dialect, cell.protection) or "ok"


def _run_guest(results: Results, versions: dict[str, str], complaints: list[str]) -> None:
    found = run_guest()
    versions[GUEST] = found.kernel
    complaints += found.complaints
    results |= {(GUEST, dialect, protection): result for (dialect, protection), result in found.cells.items()}


def _is_failure(result: str) -> bool:
    return result not in ("ok", NOT_IN_2_1) and not result.startswith("cannot: ")


def version_of(client: str) -> str:
    """The version of the client that is installed here."""
    if client in ("smbprotocol", "impacket"):
        return version(client)
    said = subprocess.run([client, "--version"], check=True, capture_output=True, text=True).stdout
    return said.split()[-1].removesuffix("-Debian")


def table_rows(results: Results, versions: Mapping[str, str]) -> list[list[str]]:
    """A row a client and protection, a column a dialect."""
    rows = [["client", "version", "", *DIALECTS]]
    kinds = dict.fromkeys((client, protection) for client, _, protection in results)
    for client, protection in kinds:
        cells = [results.get((client, dialect, protection), NOT_IN_2_1) for dialect in DIALECTS]
        rows.append([client, versions[client], protection, *cells])
    return rows


if __name__ == "__main__":
    raise SystemExit(main())
