"""A process full of clients: logs them all in at once, opens their files, and works when told to.

    crowd.py PORT CONNECTIONS OPENS_EACH IN_FLIGHT PAUSE_SECONDS

Prints a line of JSON when all are there, works from a line "work SECONDS" on, prints a line of JSON with what was done, and
goes when standard input ends.
"""

import json
import random
import sys
import time
from collections import deque
from dataclasses import dataclass, field

import trio
from files import BLOCK_BYTES, FILE_BLOCKS, FILES, SHARED_ACCESS, content, name_of
from peers import PASSWORD, SHARE, USER

from odxfs.client.client import connect
from odxfs.client.connection import Pending
from odxfs.client.file import SmbFile
from odxfs.client.tree import Tree
from odxfs.errors import UserError
from odxfs.ntstatus import Status
from odxfs.wire.client_connection import Response
from odxfs.wire.create import CreateDisposition
from odxfs.wire.read import ReadResponse


@dataclass(frozen=True)
class Read:
    """One request under way."""

    file: int
    block: int
    began: float
    pending: Pending


@dataclass
class Visitor:
    """One connection with its opens: (file, open). `slowest` is an answer's time in seconds."""

    number: int
    tree: Tree
    opens: list[tuple[int, SmbFile]] = field(default_factory=list)
    done: int = 0
    slowest: float = 0.0


class Crowd:
    """All connections of this process; `errors` says what went wrong, `visitors` who got in."""

    def __init__(
        self, port: int, connections: int, opens_each: int, in_flight: int, pause_seconds: float
    ) -> None:
        self.visitors: list[Visitor] = []
        self.errors: list[str] = []
        self.slowest_login = 0.0
        self._port = port
        self._connections = connections
        self._opens_each = opens_each
        self._in_flight = in_flight
        self._pause_seconds = pause_seconds
        self._seconds = 0.0
        self._arrived = self._finished = 0
        self._all_arrived, self._work, self._all_finished, self._leave = (trio.Event() for _ in range(4))

    async def run(self) -> None:
        """From the first connection to the last."""
        async with trio.open_nursery() as nursery:
            began = time.perf_counter()
            for number in range(self._connections):
                nursery.start_soon(self._visit, number)
            await self._all_arrived.wait()
            took = time.perf_counter() - began
            _tell(arrived=len(self.visitors), seconds=took, slowest_login=self.slowest_login)
            self._seconds = float((await _line()).split()[1])
            self._work.set()
            await self._all_finished.wait()
            _tell(
                done=[visitor.done for visitor in self.visitors],
                slowest=max((visitor.slowest for visitor in self.visitors), default=0.0),
                errors=len(self.errors),
                first_errors=self.errors[:5],
            )
            await _line()
            self._leave.set()

    async def _visit(self, number: int) -> None:
        began, visitor = time.perf_counter(), None
        try:
            async with connect("127.0.0.1", self._port, USER, PASSWORD) as client:
                self.slowest_login = max(self.slowest_login, time.perf_counter() - began)
                visitor = Visitor(number, await client.tree(SHARE))
                await self._open_files(visitor)
                self.visitors.append(visitor)
                self._count_arrival()
                await self._work.wait()
                await self._read(visitor, time.perf_counter() + self._seconds)
                self._count_end()
                await self._leave.wait()
        except UserError as error:
            self.errors.append(f"connection {number}: {error}")
            if visitor not in self.visitors:
                self._count_arrival()
            self._count_end()

    def _count_arrival(self) -> None:
        self._arrived += 1
        if self._arrived == self._connections:
            self._all_arrived.set()

    def _count_end(self) -> None:
        self._finished += 1
        if self._finished == self._connections:
            self._all_finished.set()

    async def _open_files(self, visitor: Visitor) -> None:
        for index in range(self._opens_each):
            file = (visitor.number * self._opens_each + index) % FILES
            opened = await visitor.tree.open(name_of(file), SHARED_ACCESS, disposition=CreateDisposition.OPEN)
            visitor.opens.append((file, opened))

    async def _read(self, visitor: Visitor, end: float) -> None:
        """Read blocks and compare them, as many in flight as there may be."""
        choice = random.Random(visitor.number)
        under_way: deque[Read] = deque()
        await trio.sleep(choice.uniform(0, self._pause_seconds))  # not all in the same moment
        while time.perf_counter() < end or under_way:
            if time.perf_counter() < end and len(under_way) <= self._in_flight // 2:
                await self._submit(visitor, choice, under_way)
            oldest = under_way.popleft()
            self._take(visitor, oldest, await oldest.pending.wait())
            if self._pause_seconds and time.perf_counter() < end:
                await trio.sleep(self._pause_seconds)

    async def _submit(self, visitor: Visitor, choice: random.Random, under_way: deque[Read]) -> None:
        await visitor.tree.session.connection.wait_for_room()
        while len(under_way) < self._in_flight:
            file, opened = choice.choice(visitor.opens)
            block = choice.randrange(FILE_BLOCKS)
            pending = opened.try_submit_read(block * BLOCK_BYTES, BLOCK_BYTES)
            if pending is None:
                break
            under_way.append(Read(file, block, time.perf_counter(), pending))
        await visitor.tree.session.connection.flush()

    def _take(self, visitor: Visitor, read: Read, response: Response) -> None:
        visitor.slowest = max(visitor.slowest, time.perf_counter() - read.began)
        visitor.done += 1
        if response.header.status:
            self.errors.append(f"connection {visitor.number}: {Status(response.header.status).name}")
        elif bytes(ReadResponse.unpack(response.pdu).data) != content(read.file, read.block):
            self.errors.append(f"connection {visitor.number}: wrong data")


async def _line() -> str:
    return await trio.to_thread.run_sync(sys.stdin.readline)


def _tell(**values: object) -> None:
    print(json.dumps(values), flush=True)


def main() -> None:
    """See the module."""
    port, connections, opens_each, in_flight = map(int, sys.argv[1:5])

    async def run() -> None:
        await Crowd(port, connections, opens_each, in_flight, float(sys.argv[5])).run()

    trio.run(run)


if __name__ == "__main__":
    main()
