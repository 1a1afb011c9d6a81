"""A CREATE whose channel is lost while it waits: it goes on where its session does, and ends with it otherwise."""

from dataclasses import dataclass
from typing import Any

import pytest
import trio
import trio.testing

from odxfs.ntstatus import Status
from odxfs.smb.durable.outlasting import outlast_channel
from odxfs.smb.request import SmbError

GUID = b"g" * 16


@dataclass
class Surroundings:
    """As much of a request as matters: its server, its session with or without another channel, its connection."""

    nursery: trio.Nursery
    others: bool
    is_ending: bool = False
    may_pend: bool = True

    @property
    def server(self) -> Any:
        return self

    session = connection = server

    def has_channel_besides(self, _: object) -> bool:
        return self.others


class Create:
    """Waits until it may go on."""

    def __init__(self) -> None:
        self.go_on = trio.Event()
        self.outcome = "at work"

    async def __call__(self) -> Any:
        try:
            await self.go_on.wait()
        except trio.Cancelled:
            self.outcome = "cancelled"
            raise
        self.outcome = "done"
        return "response"


@pytest.mark.parametrize(
    ("others", "ending", "guid", "outcome"),
    [
        (True, True, GUID, "done"),
        (False, True, GUID, "cancelled"),
        (True, False, GUID, "cancelled"),  # by CANCEL, or with its session
        (True, True, b"", "cancelled"),
    ],
)
async def test_what_becomes_of_a_create_whose_task_is_cancelled(
    others: bool, ending: bool, guid: bytes, outcome: str
) -> None:
    create = Create()
    async with trio.open_nursery() as nursery:
        context: Any = Surroundings(nursery, others)
        with trio.CancelScope() as scope:
            nursery.start_soon(_lose, context, scope, ending)
            await outlast_channel(context, guid, create)
        assert scope.cancelled_caught
        create.go_on.set()
    assert create.outcome == outcome
    assert context.may_pend == (outcome == "cancelled")


async def _lose(context: Any, scope: trio.CancelScope, ending: bool) -> None:
    await trio.testing.wait_all_tasks_blocked()
    context.is_ending = ending
    scope.cancel()


async def test_a_create_that_is_done_when_it_is_cancelled_is_answered() -> None:
    create = Create()
    async with trio.open_nursery() as nursery:
        context: Any = Surroundings(nursery, others=True)
        with trio.CancelScope() as scope:

            async def finish_and_cancel() -> None:
                await trio.testing.wait_all_tasks_blocked()
                create.go_on.set()
                scope.cancel()

            nursery.start_soon(finish_and_cancel)
            response: Any = await outlast_channel(context, GUID, create)
        assert response == "response"
        assert not scope.cancelled_caught


@pytest.mark.parametrize("others", [False, True])
async def test_who_stays_gets_the_answer_or_the_error(others: bool) -> None:
    async with trio.open_nursery() as nursery:
        context: Any = Surroundings(nursery, others)
        create = Create()
        create.go_on.set()
        assert await outlast_channel(context, GUID, create) == "response"  # type: ignore[comparison-overlap]

        async def refuse() -> Any:
            raise SmbError(Status.SHARING_VIOLATION)

        with pytest.raises(SmbError) as refused:
            await outlast_channel(context, GUID, refuse)
        assert refused.value.status is Status.SHARING_VIOLATION
