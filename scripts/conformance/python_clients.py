"""Clients that are Python libraries in a cell: smbprotocol and impacket. What they have no call for is sent by hand."""

import importlib
import io
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

from by_hand import Control, clone, copy_by_chunks, copy_by_token
from cells import Cell, require
from impacket.smb3 import SMB3
from impacket.smbconnection import SMBConnection
from servers import PASSWORD, SHARE, USER
from smbprotocol.connection import Connection
from smbprotocol.ioctl import IOCTLFlags, SMB2IOCTLRequest, SMB2IOCTLResponse

if TYPE_CHECKING:
    from smbclient import SMBRawIO

REVISIONS = {"2.1": 0x0210, "3.0": 0x0300, "3.0.2": 0x0302, "3.1.1": 0x0311}
WITHOUT_TOKENS = "2.1"
"""Copy offload is served from SMB 3.0 on."""
CLIENT_SECONDS = 60
BLOCK_BYTES = 4096
INFO_SECURITY, OWNER_GROUP_DACL, READ_DATA_AND_DESCRIPTOR = 3, 7, 0x20001

with mock.patch.object(sys, "path", [each for each in sys.path if not Path(each, "smbclient.py").exists()]):
    high_level = importlib.import_module("smbclient")  # smbprotocol's, not the script that impacket installs
    high_level_shutil = importlib.import_module("smbclient.shutil")


def smbprotocol(cell: Cell) -> None:
    """Files, streams and a copy by the high-level package; tokens, chunks and clones by hand."""
    with _smbprotocol_session(cell) as options:
        root = rf"\\{cell.server.address}\{SHARE}\{cell.name}"
        _use_high_level(cell, root, options)
        _copy_with_smbprotocol(cell, root, options)
        for name in ("copied", "destination", "renamed"):
            high_level.remove(rf"{root}\{name}", **options)
        require(high_level.listdir(root, **options) == [], "something is left after all was deleted")


@contextmanager
def _smbprotocol_session(cell: Cell) -> Iterator[dict[str, Any]]:
    """Options for the high-level package, whose connection is of the cell's dialect."""
    address, port = cell.server.address, cell.server.port
    connection = Connection(uuid.uuid4(), address, port)
    connection.connect(REVISIONS[cell.dialect], timeout=CLIENT_SECONDS)
    options = {"port": port, "connection_cache": {f"{address}:{port}": connection}}
    try:
        high_level.register_session(
            address, username=USER, password=PASSWORD, encrypt=cell.encrypts, **options
        )
        yield options
    finally:
        high_level.reset_connection_cache(connection_cache=options["connection_cache"])


def _use_high_level(cell: Cell, root: str, options: dict[str, Any]) -> None:
    for name in ("file", "file:stream"):
        with high_level.open_file(rf"{root}\{name}", mode="wb", **options) as file:
            file.write(cell.content)
        with high_level.open_file(rf"{root}\{name}", mode="rb", **options) as file:
            require(file.read() == cell.content, f"{name} has other bytes than were written")
    high_level.rename(rf"{root}\file", rf"{root}\renamed", **options)
    high_level_shutil.copyfile(rf"{root}\renamed", rf"{root}\copied", **options)
    require(
        sorted(high_level.listdir(root, **options)) == ["copied", "renamed"], "the list is not what there is"
    )
    for name in ("renamed", "copied"):
        cell.require_copy(cell.on_mount(name))


def _copy_with_smbprotocol(cell: Cell, root: str, options: dict[str, Any]) -> None:
    shared = {"share_access": "rwd", "buffering": 0, **options}
    with (
        high_level.open_file(rf"{root}\renamed", mode="rb", **shared) as source,
        high_level.open_file(rf"{root}\destination", mode="w+b", **shared) as destination,
    ):
        from_source, to_destination = _control_of_smbprotocol(source), _control_of_smbprotocol(destination)
        _copy_by_hand(cell, from_source, to_destination, source.fd.file_id, destination.truncate)


def _control_of_smbprotocol(file: "SMBRawIO") -> Control:
    opened = file.fd

    def control(code: int, data: bytes, room: int) -> bytes:
        request, response = SMB2IOCTLRequest(), SMB2IOCTLResponse()
        for structure in (request, response):
            structure.fields["ctl_code"].enum_strict = False  # it takes those alone that it has a name for
        request["ctl_code"] = code
        request["file_id"] = opened.file_id
        request["max_output_response"] = room
        request["flags"] = IOCTLFlags.SMB2_0_IOCTL_IS_FSCTL
        request["buffer"] = data
        tree = opened.tree_connect
        sent = opened.connection.send(request, tree.session.session_id, tree.tree_connect_id)
        response.unpack(opened.connection.receive(sent)["data"].get_value())
        output: bytes = response["buffer"].get_value()
        return output

    return control


def _copy_by_hand(
    cell: Cell, source: Control, destination: Control, source_id: bytes, set_size: Callable[[int], object]
) -> None:
    """Every way to copy that the dialect has, into an empty destination each time; the server counts them."""
    length = len(cell.content)
    whole_blocks = length - length % BLOCK_BYTES
    ways = {
        "copychunk": lambda: copy_by_chunks(source, destination, length),
        "duplicate_extents": lambda: clone(destination, source_id, whole_blocks),
    }
    if cell.dialect != WITHOUT_TOKENS:
        ways["offload"] = lambda: copy_by_token(source, destination, whole_blocks)
    for mechanism, copy in ways.items():
        before = cell.server.copied_bytes(mechanism)
        set_size(0)
        set_size(length)
        copy()
        copied = cell.server.copied_bytes(mechanism) - before
        require(copied >= whole_blocks, f"the server has not copied the file by {mechanism}")
        found = cell.on_mount("destination").read_bytes()
        require(found[:copied] == cell.content[:copied], f"{mechanism} copied other bytes")


def impacket(cell: Cell) -> None:
    """Files, streams, shares and an access list read; tokens, chunks and clones by hand."""
    address, port = cell.server.address, cell.server.port
    low = SMB3(
        address, address, sess_port=port, timeout=CLIENT_SECONDS, preferredDialect=REVISIONS[cell.dialect]
    )
    connection = SMBConnection(existingConnection=low)
    connection.login(USER, PASSWORD)
    try:
        _use_impacket(cell, connection)
    finally:
        connection.logoff()
        low.close_session()


def _use_impacket(cell: Cell, connection: SMBConnection) -> None:
    shares = [share["shi1_netname"].rstrip("\0") for share in connection.listShares()]
    require(SHARE in shares, "the share is not listed")
    for name in ("file", "file:stream"):
        connection.putFile(SHARE, rf"{cell.name}\{name}", io.BytesIO(cell.content).read)
        back = io.BytesIO()
        connection.getFile(SHARE, rf"{cell.name}\{name}", back.write)
        require(back.getvalue() == cell.content, f"{name} has other bytes than were written")
    connection.rename(SHARE, rf"{cell.name}\file", rf"{cell.name}\renamed")
    listed = {entry.get_longname() for entry in connection.listPath(SHARE, rf"{cell.name}\*")}
    require(listed == {".", "..", "renamed"}, "the list is not what there is")
    cell.require_copy(cell.on_mount("renamed"))
    _copy_with_impacket(cell, connection)
    for name in ("destination", "renamed"):
        connection.deleteFile(SHARE, rf"{cell.name}\{name}")
    require(list(cell.on_mount("").iterdir()) == [], "something is left after all was deleted")


def _copy_with_impacket(cell: Cell, connection: SMBConnection) -> None:
    low, tree = connection.getSMBServer(), connection.connectTree(SHARE)
    source = connection.openFile(tree, rf"{cell.name}\renamed", desiredAccess=READ_DATA_AND_DESCRIPTOR)
    destination = connection.createFile(tree, rf"{cell.name}\destination")
    descriptor = low.queryInfo(
        tree, source, infoType=INFO_SECURITY, fileInfoClass=0, additionalInformation=OWNER_GROUP_DACL
    )
    require(descriptor[:2] == b"\1\0" and len(descriptor) > 20, "no security descriptor is shown")

    def control(fid: bytes) -> Control:
        return lambda code, data, room: bytes(low.ioctl(tree, fid, code, 1, data, 0, room))

    def set_size(length: int) -> None:
        low.setInfo(tree, destination, fileInfoClass=20, inputBlob=length.to_bytes(8, "little"))

    _copy_by_hand(cell, control(source), control(destination), source, set_size)
    for fid in (source, destination):
        connection.closeFile(tree, fid)
    connection.disconnectTree(tree)
