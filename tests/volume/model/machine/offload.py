"""Rules about tokens, through the engine that serves the share."""

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from odxfs.offload.token import ZERO_TOKEN
from odxfs.types import BLOCK_BYTES, LEAF_BYTES
from tests.volume.model.machine.base import Machine, picks, sectors
from tests.volume.model.tokens import CLIENTS

token_lengths = st.sampled_from([512, 1024, BLOCK_BYTES, 3 * BLOCK_BYTES, 70_144, LEAF_BYTES, 2 * LEAF_BYTES])


class OffloadRules(Machine):
    """Offload read and write, expiry, bounds, forgery."""

    @rule(
        pick=picks, offset=sectors, length=token_lengths, client=st.sampled_from(CLIENTS),
        ttl_ms=st.sampled_from([0, 0, 1000, 20_000, 3_600_000]),
    )  # fmt: skip
    def offload_read(self, pick: int, offset: int, length: int, client: str, ttl_ms: int) -> None:
        self.run(self.tokens.read(self.file(pick), offset, length, client, ttl_ms))

    @precondition(lambda self: self.tokens.live)
    @rule(which=picks, pick=picks, offset=sectors, transfer_offset=sectors, length=token_lengths)
    def offload_write(self, which: int, pick: int, offset: int, transfer_offset: int, length: int) -> None:
        sealed = list(self.tokens.live)[which % len(self.tokens.live)]
        self.run(self.tokens.write(self.file(pick), offset, sealed, transfer_offset, length))

    @precondition(lambda self: self.tokens.live)
    @rule(which=picks, pick=picks, at=st.sampled_from([0, LEAF_BYTES]))
    def offload_write_aligned(self, which: int, pick: int, at: int) -> None:
        """All of a token, as clients do it when they copy a disk."""
        token = list(self.tokens.live.values())[which % len(self.tokens.live)]
        offset = at + token.pin.offset % LEAF_BYTES
        self.run(self.tokens.write(self.file(pick), offset, token.sealed, 0, token.held.size))

    @rule(pick=picks, offset=sectors, length=token_lengths)
    def offload_write_zeros(self, pick: int, offset: int, length: int) -> None:
        self.run(self.tokens.write(self.file(pick), offset, ZERO_TOKEN, 0, length))

    @precondition(lambda self: self.tokens.dead)
    @rule(pick=picks)
    def offload_write_of_what_has_ended(self, pick: int) -> None:
        self.run(self.tokens.write(self.file(pick), 0, self.tokens.dead[-1], 0, 512))

    @precondition(lambda self: self.tokens.live)
    @rule(pick=picks, bit=st.integers(32 * 8, 512 * 8 - 1))
    def offload_write_of_a_forged_token(self, pick: int, bit: int) -> None:
        forged = bytearray(next(iter(self.tokens.live)))
        forged[bit // 8] ^= 1 << bit % 8
        self.run(self.tokens.write_refused(self.file(pick), bytes(forged)))

    @rule(seconds=st.sampled_from([0.5, 10.0, 61.0, 700.0]))
    def time_passes(self, seconds: float) -> None:
        async def advance() -> None:
            self.tokens.advance(seconds)

        self.run(advance())
        self.now = self.tokens.now
