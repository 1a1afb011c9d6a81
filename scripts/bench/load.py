"""Load for any SMB 3 server from one process and one connection: the same requests to each, little cost of its own.

    load.py HOST PORT SHARE USER FILE MODE [--block BYTES] [--depth N] [--seconds S] [--protection KIND]

KIND is unsigned, signed (AES-GMAC, as Windows 11 and Server 2022 offer it), signed-cmac (as clients before them) or encrypted.
MODE is seqread, seqwrite, randread, randwrite or randthrough (writes that are durable when they are answered, as Hyper-V's
are: SMB2_WRITEFLAG_WRITE_THROUGH); the password comes from LOAD_PASSWORD. Keeps N requests in flight over the
project's own sans-IO client on a blocking socket, and prints one JSON line.
"""

import argparse
import json
import os
import random
import socket
import time
from collections import deque

import spnego

from odxfs.ntstatus import Status, status_name
from odxfs.types import Buffer
from odxfs.wire import client_inbound
from odxfs.wire.access_mask import Access, ShareAccess
from odxfs.wire.client_connection import ClientConnection, ClientOffer, Response
from odxfs.wire.create import CreateRequest, CreateResponse
from odxfs.wire.file_id import FileId
from odxfs.wire.header import Command
from odxfs.wire.negotiate_contexts import SigningAlgorithm
from odxfs.wire.negotiation import PREFERRED_SIGNING
from odxfs.wire.read import ReadRequest
from odxfs.wire.session_setup import SessionSetupRequest, SessionSetupResponse
from odxfs.wire.tree_connect import TreeConnectRequest
from odxfs.wire.write import WriteFlags, WriteRequest

OPEN_IF = 3
BULK_CHARGE_BYTES = 65536
PROTECTIONS = ("unsigned", "signed", "signed-cmac", "encrypted")


class Peer:
    """A logged-in connection to one share, with blocking calls for the set-up and `send`/`wait` for the load."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.encrypt = arguments.protection == "encrypted"
        self.sock = socket.create_connection((arguments.host, arguments.port), timeout=60)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        offer = _offer(arguments.protection)
        self.protocol = ClientConnection(offer)
        self.session_id = self.tree_id = 0
        self.responses: deque[Response] = deque()
        self._login(arguments)
        target = f"\\\\{arguments.host}\\{arguments.share}"
        self.tree_id = self.call(Command.TREE_CONNECT, TreeConnectRequest(path=target).pack()).header.tree_id

    def _login(self, arguments: argparse.Namespace) -> None:
        self._exchange(self.protocol.negotiate()[1])
        context = spnego.client(
            arguments.user,
            os.environ["LOAD_PASSWORD"],
            hostname=arguments.host,
            service="cifs",
            protocol="ntlm",
        )
        token = context.step()
        while True:
            body = SessionSetupRequest(token or b"", security_mode=1).pack()
            response = self._exchange(self.protocol.session_setup(body, self.session_id)[1])
            self.session_id = response.header.session_id
            if response.header.status == Status.SUCCESS:
                break
            if response.header.status != Status.MORE_PROCESSING_REQUIRED:
                raise SystemExit(f"login: {status_name(response.header.status)}")
            token = context.step(SessionSetupResponse.unpack(response.pdu).security_buffer)
        self.protocol.establish(response, context.session_key, encrypt_data=self.encrypt)

    def _exchange(self, buffers: list[Buffer]) -> Response:
        self.transmit(buffers)
        return self.wait()

    def transmit(self, buffers: list[Buffer]) -> None:
        """Send everything, without joining what need not be joined."""
        views = deque(memoryview(buffer).cast("B") for buffer in buffers)
        while views:
            sent = self.sock.sendmsg(views)
            while views and sent >= len(views[0]):
                sent -= len(views.popleft())
            if views:
                views[0] = views[0][sent:]

    def send(self, command: Command, body: bytes, payload: Buffer | None = None, charge: int = 1) -> int:
        """Queue nothing: one request goes out at once; returns its message id."""
        message_id, buffers = self.protocol.request(
            command, body, payload, tree_id=self.tree_id, session_id=self.session_id, credit_charge=charge
        )
        self.transmit(buffers)
        return message_id

    def wait(self) -> Response:
        """The next final response."""
        while True:
            while self.responses:
                response = self.responses.popleft()
                if not response.interim:
                    return response
            count = self.sock.recv_into(self.protocol.get_buffer())
            if not count:
                raise SystemExit("the server closed the connection")
            self.responses.extend(self.protocol.received(count))

    def call(self, command: Command, body: bytes) -> Response:
        """One request and its response, which must succeed."""
        self.send(command, body)
        response = self.wait()
        if response.header.status:
            raise SystemExit(f"{command.name}: {status_name(response.header.status)}")
        return response

    def open(self, name: str) -> CreateResponse:
        """Open or create a file for reading and writing."""
        request = CreateRequest(
            name=name,
            desired_access=Access.FILE_GENERIC_READ | Access.FILE_GENERIC_WRITE,
            share_access=ShareAccess.ALL,
            create_disposition=OPEN_IF,
        )
        return CreateResponse.unpack(self.call(Command.CREATE, request.pack()).pdu)


def _offer(protection: str) -> ClientOffer:
    return ClientOffer(
        os.urandom(16),
        signing_required=protection.startswith("signed"),
        signing_algorithms=(SigningAlgorithm.AES_CMAC,) if protection == "signed-cmac" else PREFERRED_SIGNING,
    )


class Load:
    """Requests of one kind against one open file."""

    def __init__(self, peer: Peer, arguments: argparse.Namespace, file_id: FileId, size: int) -> None:
        self.peer, self.file_id = peer, file_id
        self.block, self.blocks = arguments.block, size // arguments.block
        self.writes = arguments.mode.endswith(("write", "through"))
        self.flags = WriteFlags.WRITE_THROUGH if arguments.mode.endswith("through") else 0
        self.charge = max(1, (self.block + BULK_CHARGE_BYTES - 1) // BULK_CHARGE_BYTES)
        self.data = random.randbytes(self.block)
        self.is_random = arguments.mode.startswith("rand")
        self.choice, self.position = random.Random(7), 0

    def send_next(self) -> int:
        """Send the next request of the pattern."""
        if self.is_random:
            index = self.choice.randrange(self.blocks)
        else:
            index, self.position = self.position, (self.position + 1) % self.blocks
        offset = index * self.block
        if self.writes:
            request = WriteRequest(self.file_id, offset, self.data, self.flags)
            return self.peer.send(Command.WRITE, request.pack_head(), self.data, self.charge)
        body = ReadRequest(length=self.block, offset=offset, file_id=self.file_id, minimum_count=0).pack()
        return self.peer.send(Command.READ, body, None, self.charge)

    def run(self, depth: int, seconds: float) -> dict[str, float]:
        """Keep `depth` requests in flight for `seconds`; what was reached."""
        sent: dict[int, float] = {}
        latency, done = 0.0, 0
        begin = time.perf_counter()
        end = begin + seconds
        while True:
            now = time.perf_counter()
            while now < end and len(sent) < depth and self.peer.protocol.credits >= self.charge:
                sent[self.send_next()] = now
            if not sent:
                break
            header = self.peer.wait().header
            if header.status:
                raise SystemExit(f"{header.command.name}: {status_name(header.status)}")
            latency += time.perf_counter() - sent.pop(header.message_id)
            done += 1
        elapsed = time.perf_counter() - begin
        return {
            "operations_per_second": round(done / elapsed, 1),
            "megabytes_per_second": round(done * self.block / elapsed / 1e6, 1),
            "latency_microseconds": round(latency / max(1, done) * 1e6, 1),
        }


def trust_signatures() -> None:
    """From here on signed replies are not verified: each server signs them all the same, and this process costs less.

    On a machine of two processors a client that verifies takes longer than the server; then all servers look alike.
    """
    client_inbound.verify = lambda *_, **__: True  # type: ignore[assignment]


def login_arguments(description: str | None) -> argparse.ArgumentParser:
    """What every load needs to know of the server and of the connection to it."""
    parser = argparse.ArgumentParser(description=description)
    for name in ("host", "port", "share", "user"):
        parser.add_argument(name, type=int if name == "port" else str)
    parser.add_argument("--protection", choices=PROTECTIONS, default="signed")
    return parser


def main() -> None:
    """Run one load on a file that is there."""
    parser = login_arguments(__doc__)
    for name in ("file", "mode"):
        parser.add_argument(name)
    parser.add_argument("--block", type=int, default=4096)
    parser.add_argument("--depth", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=2.0)
    arguments = parser.parse_args()
    peer = Peer(arguments)
    opened = peer.open(arguments.file)
    load = Load(peer, arguments, opened.file_id, opened.end_of_file)
    for _ in range(4):
        load.send_next()
        peer.wait()
    trust_signatures()
    print(json.dumps(load.run(arguments.depth, arguments.seconds)))


if __name__ == "__main__":
    main()
