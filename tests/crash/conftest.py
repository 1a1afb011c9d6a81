"""Disks for tests that crash and fail."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.disk.recording import RecordingDisk, recording_disk
from tests.crash.memory_disk import memory_disk


@pytest.fixture(scope="package")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RecordingDisk]:
    """A disk in memory that records and fails; one for all tests, each of which begins with `start`."""
    with recording_disk(tmp_path_factory.mktemp("disk")) as mounted:
        yield mounted


@pytest.fixture
def states(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory in memory for pools that are looked at by the hundred: a sync costs nothing there, and nobody waits for a
    stopped owner to look, which there is none of."""
    monkeypatch.setattr("odxfs.volume.ownership.CHECK_SECONDS", 0.0)
    with memory_disk(tmp_path / "states") as directory:
        yield directory
