"""Many files by name for any SMB 3 server, from one process and one connection.

    names.py HOST PORT SHARE USER DIRECTORY create|list --count N [--size BYTES] [--depth N] [--protection ...]

`create` opens, writes (unless the size is 0) and closes N new files, so many at a time as `--depth` says; `list` reads the
directory's entries with the buffers that Windows asks for. Prints one JSON line; the password comes from LOAD_PASSWORD.
"""

import argparse
import json
import random
import struct
import time
from collections.abc import Generator, Iterator

from load import Peer, login_arguments

from odxfs.ntstatus import Status, status_name
from odxfs.wire.access_mask import Access, ShareAccess
from odxfs.wire.client_connection import Response
from odxfs.wire.close import CloseRequest
from odxfs.wire.create import CreateRequest, CreateResponse
from odxfs.wire.header import Command
from odxfs.wire.query_directory import QueryDirectoryRequest, QueryDirectoryResponse
from odxfs.wire.write import WriteRequest

CREATE, OPEN_IF = 2, 3
DIRECTORY_FILE, NON_DIRECTORY_FILE = 0x1, 0x40
FILE_ID_BOTH_DIRECTORY_INFORMATION = 37
LIST_BUFFER_BYTES = 65536
_NEXT_ENTRY = struct.Struct("<I")

Steps = Generator[int, Response, None]
"""One file: yields the id of each request that it sent, and is given the answer."""


def create_request(name: str, disposition: int, options: int, access: int) -> bytes:
    """A CREATE like any other program's."""
    return CreateRequest(
        name=name,
        desired_access=access,
        share_access=ShareAccess.ALL,
        create_disposition=disposition,
        create_options=options,
    ).pack()


def one_file(peer: Peer, name: str, data: bytes) -> Steps:
    """Open, write, close."""
    access = Access.FILE_GENERIC_READ | Access.FILE_GENERIC_WRITE
    created = yield peer.send(Command.CREATE, create_request(name, CREATE, NON_DIRECTORY_FILE, access))
    file_id = CreateResponse.unpack(created.pdu).file_id
    if data:
        head = WriteRequest(offset=0, file_id=file_id, data=data).pack_head()
        yield peer.send(Command.WRITE, head, data)
    yield peer.send(Command.CLOSE, CloseRequest(file_id).pack())


def create_files(peer: Peer, directory: str, count: int, size: int, depth: int) -> float:
    """Seconds for `count` new files, `depth` of them at a time."""
    data = random.randbytes(size)
    files = (one_file(peer, f"{directory}\\file-{number:07d}", data) for number in range(count))
    running: dict[int, Steps] = {}
    begin = time.perf_counter()

    def start() -> None:
        for steps in files:
            running[next(steps)] = steps
            return

    for _ in range(depth):
        start()
    while running:
        response = peer.wait()
        if response.header.status:
            raise SystemExit(f"{response.header.command.name}: {status_name(response.header.status)}")
        steps = running.pop(response.header.message_id)
        try:
            running[steps.send(response)] = steps
        except StopIteration:
            start()
    return time.perf_counter() - begin


def list_directory(peer: Peer, directory: str) -> tuple[int, float]:
    """How many entries the directory has, and the seconds that listing them took."""
    begin = time.perf_counter()
    body = create_request(directory, 1, DIRECTORY_FILE, Access.FILE_READ_DATA | Access.FILE_READ_ATTRIBUTES)
    file_id = CreateResponse.unpack(peer.call(Command.CREATE, body).pdu).file_id
    query = QueryDirectoryRequest(
        FILE_ID_BOTH_DIRECTORY_INFORMATION, file_id, output_buffer_length=LIST_BUFFER_BYTES
    ).pack()
    entries = 0
    while True:
        peer.send(Command.QUERY_DIRECTORY, query)
        response = peer.wait()
        if response.header.status == Status.NO_MORE_FILES:
            break
        if response.header.status:
            raise SystemExit(f"QUERY_DIRECTORY: {status_name(response.header.status)}")
        entries += sum(1 for _ in entries_of(QueryDirectoryResponse.unpack(response.pdu).buffer))
    peer.call(Command.CLOSE, CloseRequest(file_id).pack())
    return entries, time.perf_counter() - begin


def entries_of(buffer: bytes | memoryview) -> Iterator[int]:
    """Where each entry of an answer begins."""
    at = 0
    while len(buffer):
        yield at
        (step,) = _NEXT_ENTRY.unpack_from(buffer, at)
        if not step:
            return
        at += step


def main() -> None:
    """Create files in a directory, which is made if needed, or list it."""
    parser = login_arguments(__doc__)
    parser.add_argument("directory")
    parser.add_argument("mode", choices=("create", "list"))
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--size", type=int, default=0)
    parser.add_argument("--depth", type=int, default=1)
    arguments: argparse.Namespace = parser.parse_args()
    peer = Peer(arguments)
    if arguments.mode == "list":
        entries, seconds = list_directory(peer, arguments.directory)
    else:
        body = create_request(arguments.directory, OPEN_IF, DIRECTORY_FILE, Access.FILE_READ_ATTRIBUTES)
        file_id = CreateResponse.unpack(peer.call(Command.CREATE, body).pdu).file_id
        entries = arguments.count
        seconds = create_files(peer, arguments.directory, entries, arguments.size, arguments.depth)
        peer.call(Command.CLOSE, CloseRequest(file_id).pack())
    print(json.dumps({"entries": entries, "entries_per_second": round(entries / seconds, 1)}))


if __name__ == "__main__":
    main()
