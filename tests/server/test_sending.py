"""Messages leave in the order in which they were given, however slowly the peer reads."""

import socket

import trio
import trio.testing

from odxfs.smb.sending import Sender


async def test_what_is_posted_while_an_answer_waits_goes_behind_it() -> None:
    near, far = socket.socketpair()
    with near, far:
        near.setblocking(False)
        far.setblocking(False)
        sender, long = Sender(near), bytes(4 << 20)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sender.send, [long])
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(sender.send, [b"answer"])
            await trio.testing.wait_all_tasks_blocked()
            assert not sender.post([b"notice"])
            received = bytearray()
            while len(received) < len(long) + len(b"answernotice"):
                await trio.lowlevel.wait_readable(far)
                received += far.recv(1 << 20)
        assert received[len(long) :] == b"answernotice"
        assert not sender.keeps_posted
