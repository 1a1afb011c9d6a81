"""Rules about what is durable."""

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from odxfs.errors import Refusal
from tests.volume.model.machine.base import Machine, picks


class DurabilityRules(Machine):
    """Commit, leave and come back, crash."""

    old_token = b""
    """One of an owner of before."""

    @rule()
    def commit(self) -> None:
        self.run_with_commit(self.subject.volume.sync())
        self.note_commit()

    @rule()
    def give_space_back(self) -> None:
        """What a pool does when it is idle: nobody can tell but by the disk below."""
        self.run_with_commit(self.pool.reclaimer.turn(idle=True))
        self.note_commit()

    @rule()
    def reopen(self) -> None:
        """Leave in order and come back: everything is there; pins, tokens and nameless files are not."""
        self._keep_a_token()
        self.close()
        self.open()
        self.note_commit()

    @rule(committing=st.booleans())
    def crash_at_any_time(self, committing: bool) -> None:
        """What is there then is what was at the last commit."""
        if committing:
            self.commit()
        self._keep_a_token()
        self.crash()
        self.note_commit()

    @precondition(lambda self: self.old_token)
    @rule(pick=picks)
    def offload_write_of_an_owner_before(self, pick: int) -> None:
        self.run(self.tokens.write_refused(self.file(pick), self.old_token, Refusal.EARLIER_LIFE))

    def _keep_a_token(self) -> None:
        self.old_token = next(iter(self.tokens.live), self.old_token)
