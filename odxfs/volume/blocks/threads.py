"""What may wait for the disk, done in threads: bounded, and so that nobody who gives up has to wait with it.

A disk that does not answer keeps a system call, and the thread in it, for as long as it likes. So each job is noted with the
moment at which it began: the oldest one tells whether the disk answers. Whoever is cancelled goes at once, and what must not be
touched until the thread has ended is given back when it has.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import outcome
import trio

T = TypeVar("T")

MAX_THREADS = 32
"""Jobs at a time beside the commit's: enough for any disk. The rest wait in line, and cost their requests' memory alone."""

SLOW_SECONDS = 1.0
"""A job that has taken so long: from now on nothing that might wait for the disk is done on the trio thread."""

HANG_SECONDS = 5.0
"""A job that has taken so long is worth a word to people. Rotating disks need a second for a sync under load."""


class _Job:
    """One call in a thread. `task` waits for it, until that is cancelled."""

    __slots__ = ("begun", "doing", "is_limited", "on_abandoned", "task")

    def __init__(self, doing: str, on_abandoned: Callable[[BaseException | None], None]) -> None:
        self.doing = doing
        self.on_abandoned = on_abandoned
        self.begun = 0.0
        self.is_limited = False
        self.task: trio.lowlevel.Task | None = None


class DiskThreads:
    """The threads of one pool. All methods are for the trio thread."""

    def __init__(self) -> None:
        self._limiter = trio.CapacityLimiter(MAX_THREADS)
        self._jobs: dict[_Job, None] = {}
        self._has_jobs = trio.Event()
        self._none_left = trio.Event()

    @property
    def seconds(self) -> float:
        """For how long the oldest job has been under way; 0.0 when there is none. Cheap."""
        for job in self._jobs:
            return trio.current_time() - job.begun
        return 0.0

    @property
    def doing(self) -> str:
        """What the oldest job is; empty when there is none."""
        return next((job.doing for job in self._jobs), "")

    @property
    def is_idle(self) -> bool:
        """Whether there is none. Cheap."""
        return not self._jobs

    @property
    def is_slow(self) -> bool:
        """Whether the disk keeps a job for so long that nothing may wait for it on the trio thread. Cheap."""
        return bool(self._jobs) and self.seconds >= SLOW_SECONDS

    @property
    def is_hanging(self) -> bool:
        """Whether it keeps one for so long that people should know."""
        return self.seconds >= HANG_SECONDS

    async def has_jobs(self) -> None:
        """Return when any job is under way."""
        await self._has_jobs.wait()

    async def ended(self) -> None:
        """Return when none is under way, those included whose caller was cancelled. Nobody may begin one meanwhile."""
        while self._jobs:
            self._none_left = trio.Event()
            await self._none_left.wait()

    async def run(
        self,
        doing: str,
        function: Callable[..., T],
        *arguments: object,
        on_abandoned: Callable[[BaseException | None], None] = lambda _: None,
    ) -> T:
        """Call `function` in a thread and return what it returns or raises; `doing` is what people are told if it hangs.

        One whose caller is cancelled goes on by itself, and what it returns is lost. `on_abandoned` is then called when it has
        ended, with what it raised or None, on the trio thread; at once if it never began.
        """
        job = _Job(doing, on_abandoned)
        try:
            self._limiter.acquire_on_behalf_of_nowait(job)
        except trio.WouldBlock:
            try:
                await self._limiter.acquire_on_behalf_of(job)
            except trio.Cancelled:
                on_abandoned(None)
                raise
        job.is_limited = True
        return await self._wait_for(job, partial(function, *arguments))

    async def run_to_the_end(self, doing: str, function: Callable[..., T], *arguments: object) -> T:
        """The same for what is one of its kind (a commit): it waits in no line, and is not cut short by a cancellation."""
        job = _Job(doing, lambda _: None)
        with trio.CancelScope(shield=True):
            return await self._wait_for(job, partial(function, *arguments))
        raise AssertionError("nothing cancels the scope itself")

    # -- inside ---------------------------------------------------------------------------------------------------

    async def _wait_for(self, job: _Job, call: Callable[[], T]) -> T:
        """Begin the job and return what comes of it; no checkpoint before it has begun."""
        token = trio.lowlevel.current_trio_token()

        def deliver(result: "outcome.Outcome[T]") -> None:
            try:
                token.run_sync_soon(self._ended, job, result)
            except trio.RunFinishedError:  # the process is about to end, and nobody waits
                return

        def abandon(_: object) -> trio.lowlevel.Abort:
            job.task = None
            return trio.lowlevel.Abort.SUCCEEDED

        job.task = trio.lowlevel.current_task()
        job.begun = trio.current_time()
        self._jobs[job] = None
        self._has_jobs.set()
        try:
            trio.lowlevel.start_thread_soon(call, deliver)
        except BaseException:  # no thread is to be had
            self._forget(job)
            raise
        found: T = await trio.lowlevel.wait_task_rescheduled(abandon)
        return found

    def _ended(self, job: _Job, result: "outcome.Outcome[Any]") -> None:
        self._forget(job)
        if job.task is not None:
            trio.lowlevel.reschedule(job.task, result)
        else:
            job.on_abandoned(result.error if isinstance(result, outcome.Error) else None)

    def _forget(self, job: _Job) -> None:
        del self._jobs[job]
        if not self._jobs:
            self._has_jobs = trio.Event()
            self._none_left.set()
        if job.is_limited:
            self._limiter.release_on_behalf_of(job)
