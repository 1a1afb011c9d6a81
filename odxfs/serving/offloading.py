"""Copy offload in one process: one engine, one table of tokens, one trace, one fetcher of what peers pin, for all front ends."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio

from odxfs.control.arguments import Arguments
from odxfs.control.server import Command
from odxfs.observe.status import token_as_json
from odxfs.observe.trace import OffloadTrace
from odxfs.offload import OffloadEngine, TokenChoice, TokenLimits, TokenRegistry
from odxfs.peers import Fetcher, PeerStore
from odxfs.volume import Pool

TRACE_SECONDS = 0.1
"""How long a call may be missing in the trace."""

SWEEP_SECONDS = 1.0
"""How often expired tokens give back their space. Redeeming looks at the deadline itself."""


class Offloading:
    """`commands` may be asked from the start; there are tokens inside `running`."""

    def __init__(self) -> None:
        self._engine: OffloadEngine | None = None
        self._fetcher: Fetcher | None = None
        self._trace: OffloadTrace | None = None
        self.commands: dict[str, Command] = {"tokens": self._tokens, "cancel_tokens": self._cancel_tokens}

    @asynccontextmanager
    async def running(self, pool: Pool, limits: TokenLimits) -> AsyncIterator[OffloadEngine]:
        """The engine for the front ends, which have ended when the block does; then every token ends."""
        registry = TokenRegistry.of_pool(pool, limits)
        trace = self._trace = OffloadTrace(pool.directory, may_write=lambda: not pool.threads.is_slow)
        fetcher = self._fetcher = Fetcher(PeerStore(pool.directory), time.monotonic)
        engine = self._engine = OffloadEngine(
            registry,
            time.monotonic,
            observe=lambda event: trace.record(event, time.time()),
            foreign=fetcher,
        )
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_sweep, registry)
                nursery.start_soon(_write_trace, trace)
                await nursery.start(fetcher.run)
                yield engine
                nursery.cancel_scope.cancel()
        finally:
            engine.close()
            trace.close()

    def summary(self) -> dict[str, Any]:
        """What has been copied, how many tokens live, and how the peers are; nothing before there is an engine."""
        if self._engine is None or self._fetcher is None or self._trace is None:
            return {}
        self._trace.flush()  # who is told the counts finds the lines
        return {
            "offload": self._engine.counters.as_json(),
            "tokens": len(self._engine.registry),
            "peers": self._fetcher.as_json(),
        }

    async def _tokens(self, _: Arguments) -> dict[str, Any]:
        live = self._engine.registry.list(time.monotonic()) if self._engine is not None else []
        return {"tokens": [token_as_json(token) for token in live]}

    async def _cancel_tokens(self, arguments: Arguments) -> dict[str, Any]:
        chosen = TokenChoice(
            label=arguments.text("label", ""),
            svm=arguments.text("svm", ""),
            volume=arguments.text("volume", ""),
            client=arguments.text("client", ""),
            all=arguments.flag("all"),
        )
        cancelled = self._engine.registry.cancel(chosen.includes) if self._engine is not None else 0
        return {"cancelled": cancelled}


async def _write_trace(trace: OffloadTrace) -> None:
    while True:
        await trio.sleep(TRACE_SECONDS)
        trace.flush()


async def _sweep(registry: TokenRegistry) -> None:
    while True:
        await trio.sleep(SWEEP_SECONDS)
        registry.sweep(time.monotonic())
