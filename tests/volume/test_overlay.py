"""The overlay against a dict: whatever is changed, frozen, committed or given back, reads see the newest state."""

from typing import Any

import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from odxfs.volume.catalog.interface import Changes, Key, Row, Table, successor
from odxfs.volume.catalog.overlay import CatalogView


class MemoryEngine:
    """An engine over one dict; with a `gate`, a read waits there after it has looked, like an engine behind a network."""

    epoch = 1

    def __init__(self) -> None:
        self.rows: dict[Key, Row] = {}
        self.gate: trio.Event | None = None

    async def get(self, table: Table, key: Key) -> Row | None:
        answer = self.rows.get(key)
        if self.gate is not None:
            await self.gate.wait()
        return answer

    async def range(self, table: Table, low: Key, high: Key, limit: int) -> list[tuple[Key, Row]]:
        found = sorted((key, row) for key, row in self.rows.items() if low <= key < high)
        if self.gate is not None:
            await self.gate.wait()
        return found[:limit]

    async def commit(self, changes: Changes) -> None:
        for key, row in changes.get(Table.DIRENT, {}).items():
            if row is None:
                self.rows.pop(key, None)
            else:
                self.rows[key] = row

    async def close(self) -> None:
        self.rows.clear()


keys = st.tuples(st.integers(0, 3), st.binary(max_size=2))
steps = st.one_of(
    st.tuples(st.just("put"), keys, st.integers(0, 99)),
    st.tuples(st.just("delete"), keys),
    st.tuples(st.just("freeze")),
    st.tuples(st.just("thaw"), st.booleans()),
)


async def replay(script: list[Any], view: CatalogView, engine: MemoryEngine) -> dict[Key, Row]:
    model: dict[Key, Row] = {}
    frozen: Changes | None = None
    for step in script:
        if step[0] == "put":
            view.put(Table.DIRENT, step[1], (step[2],))
            model[step[1]] = (step[2],)
        elif step[0] == "delete":
            view.delete(Table.DIRENT, step[1])
            model.pop(step[1], None)
        elif step[0] == "freeze" and frozen is None:
            frozen = view.freeze()
        elif step[0] == "thaw" and frozen is not None:
            if step[1]:
                await engine.commit(frozen)
            view.thaw(durable=step[1])
            frozen = None
    return model


@settings(max_examples=150, deadline=None)
@given(st.lists(steps, max_size=60), keys, keys, st.none() | st.integers(0, 40), st.booleans())
def test_reads_equal_a_dict(script: list[Any], low: Key, high: Key, limit: int | None, prefix: bool) -> None:
    async def scenario() -> None:
        engine = MemoryEngine()
        view = CatalogView(engine)
        model = await replay(script, view, engine)
        for key in {step[1] for step in script if step[0] in ("put", "delete")}:
            assert await view.get(Table.DIRENT, key) == model.get(key)
        lower, upper = ((low[0],), (int(low[0]) + 1,)) if prefix else (low, high)
        expected = sorted((key, row) for key, row in model.items() if lower <= key < upper)
        assert await view.range(Table.DIRENT, lower, upper, limit) == expected[:limit]

    trio.run(scenario)


async def test_a_long_range_is_merged_page_by_page() -> None:
    """More rows than one read of any layer, with whole pages deleted."""
    engine = MemoryEngine()
    view = CatalogView(engine)
    model: dict[Key, Row] = {}
    for layer in range(3):
        for number in range(layer, 9000, 3 + layer):
            view.put(Table.DIRENT, (1, number), (layer,))
            model[1, number] = (layer,)
        for number in range(1000 * layer, 1000 * layer + 2500):
            view.delete(Table.DIRENT, (1, number))
            model.pop((1, number), None)
        if layer == 0:
            await engine.commit(view.freeze())
            view.thaw(durable=True)
        elif layer == 1:
            view.freeze()
    for limit in (None, 1, 31, 1024, 2500):
        assert await view.range(Table.DIRENT, (1,), (2,), limit) == sorted(model.items())[:limit]


async def test_a_slow_engine_cannot_answer_from_before_a_commit() -> None:
    """The reads begin before the commit is durable and end after it: the row must not vanish in between."""
    engine = MemoryEngine()
    engine.gate = trio.Event()
    view = CatalogView(engine)
    view.put(Table.DIRENT, (1, b"x"), (7,))
    found: list[Any] = []

    async def list_all() -> None:
        found.append(await view.range(Table.DIRENT, (1,), (2,)))

    async def look_up_another() -> None:
        found.append(await view.get(Table.DIRENT, (1, b"new")))

    async with trio.open_nursery() as nursery:
        changes = view.freeze()
        nursery.start_soon(list_all)
        nursery.start_soon(look_up_another)
        await trio.testing.wait_all_tasks_blocked()
        view.put(Table.DIRENT, (1, b"new"), (8,))
        await engine.commit(changes)
        view.thaw(durable=True)
        engine.gate.set()
    assert sorted(found, key=len) == [(8,), [((1, b"new"), (8,)), ((1, b"x"), (7,))]]


async def test_a_failed_commit_loses_nothing_and_does_not_undo_what_came_later() -> None:
    engine = MemoryEngine()
    view = CatalogView(engine)
    view.put(Table.DIRENT, (1, b"kept"), (1,))
    view.put(Table.DIRENT, (1, b"changed"), (1,))
    view.put(Table.DIRENT, (1, b"deleted"), (1,))
    view.freeze()
    view.put(Table.DIRENT, (1, b"changed"), (2,))
    view.delete(Table.DIRENT, (1, b"deleted"))
    view.thaw(durable=False)
    await engine.commit(view.freeze())
    view.thaw(durable=True)
    assert engine.rows == {(1, b"kept"): (1,), (1, b"changed"): (2,)}


def test_successor_is_the_next_key() -> None:
    assert successor((1, 5)) == (1, 6)
    assert (1, b"a") < successor((1, b"a")) < (1, b"a\0\0") < (1, b"b")
