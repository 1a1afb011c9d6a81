"""The whole volume against a plain model in memory, by a state machine; and after every step, the check.

Without ODXFS_LONG a fixed choice of 5,000 steps runs; with it 100,000 steps that are others each time. A failure prints the
steps that lead to it.
"""

import os

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from odxfs.volume import leaf
from tests.volume.model.machine.base import Machine
from tests.volume.model.machine.bytes import ByteRules
from tests.volume.model.machine.durability import DurabilityRules
from tests.volume.model.machine.names import NameRules
from tests.volume.model.machine.offload import OffloadRules
from tests.volume.model.machine.snapshots import SnapshotRules

LONG = bool(os.environ.get("ODXFS_LONG"))
STEPS = 100_000 if LONG else 5_000
STEPS_OF_ONE_POOL = 100


class VolumeMachine(NameRules, ByteRules, OffloadRules, SnapshotRules, DurabilityRules):
    """All rules together."""


@pytest.mark.parametrize("form", ["runs", "dense"])
def test_the_volume_behaves_like_its_model(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if form == "dense":  # the form of leaves in many pieces, which files as short as these would never have
        monkeypatch.setattr(leaf, "MAX_RUNS", 3)
        monkeypatch.setattr(leaf, "_REJOIN_RUNS", 2)
    before = Machine.steps
    run_state_machine_as_test(
        VolumeMachine,
        settings=settings(
            # Some pools end early, out of random bytes: how many depends on the constants in all modules that are loaded.
            max_examples=STEPS // STEPS_OF_ONE_POOL * 3 // 2,
            stateful_step_count=STEPS_OF_ONE_POOL,
            derandomize=not LONG,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert Machine.steps - before >= STEPS
