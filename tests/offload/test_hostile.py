"""Tokens that were never issued, or not here, or not any more: the right status, nothing written, a table that stays small."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from odxfs.errors import OffloadRefused, Refusal
from odxfs.ntstatus import Status
from odxfs.offload import TokenLimits
from odxfs.offload.token import (
    TOKEN_BYTES,
    TokenContent,
    TokenId,
    TokenLife,
    is_zero_token,
    issuer_of,
    seal,
)
from odxfs.volume import Inode, create_pool, open_pool
from tests.offload.scene import Scene

CASES = 20_000 if os.environ.get("ODXFS_LONG") else 2_000
SECRET, OURS = b"secret" * 2048, b"ours" * 3072
MOST_TOKENS = 64
POOL_ID = range(16, 32)
"""Where a token names its pool: one that names another is another server's, as far as this one can tell."""

sealed_fields = st.builds(
    TokenContent,
    st.uuids(),
    st.binary(min_size=16, max_size=16).map(TokenId),
    st.integers(0, 2**64 - 1),
    st.binary(min_size=16, max_size=16).map(TokenLife),
)


@dataclass
class Attack:
    """A scene whose `secret` nobody may see in `target`."""

    scene: Scene
    secret: Inode
    target: Inode
    live: bytes = b""
    tried: int = 0
    ended: dict[bytes, Refusal] = field(default_factory=dict)

    async def renew(self) -> None:
        """A fresh token, one that has expired and one that was cancelled."""
        scene = self.scene
        expired = await scene.read_token(self.secret, 0, 4096)
        scene.now += 1000
        scene.registry.sweep(scene.now)
        cancelled = await scene.read_token(self.secret, 0, 4096)
        scene.registry.cancel(lambda _: True)
        self.live = await scene.read_token(self.secret, 0, 8192)
        self.ended |= {expired: Refusal.EXPIRED_TOKEN, cancelled: Refusal.CANCELLED_TOKEN}

    async def refused(self, token: bytes, offset: int = 0, inside: int = 0) -> OffloadRefused:
        """How writing it is refused; the target has not changed and the table has not grown."""
        self.tried += 1
        try:
            written = await self.scene.write_token(self.target, offset, 512, token, inside)
        except OffloadRefused as refused:
            assert await self.scene.content(self.target) == OURS
            assert len(self.scene.registry) <= MOST_TOKENS
            return refused
        raise AssertionError(f"{written} bytes were written by {token.hex()}")


async def attacked(pool_directory: Path, attack_with: Callable[[Attack], object]) -> None:
    create_pool(pool_directory)
    async with open_pool(pool_directory, owner="test") as pool:
        scene = Scene(pool.volume("main"))
        scene.settings = replace(scene.settings, limits=TokenLimits(tokens_per_client=MOST_TOKENS))
        secret, target = await scene.file("secret", SECRET), await scene.file("target", OURS)
        attack = Attack(scene, secret, target)
        await attack.renew()
        await trio.to_thread.run_sync(attack_with, attack)
        assert await scene.write_token(target, 0, 8192, attack.live) == 8192
        scene.engine.close()
        assert await pool.check() == []


in_thousands = settings(
    max_examples=CASES, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)


def test_a_token_altered_at_any_byte_is_refused(tmp_path: Path) -> None:
    async def every_byte(attack: Attack) -> None:
        for position in range(TOKEN_BYTES):
            for change in (1, 0x80, 0xFF):
                token = bytearray(attack.live)
                token[position] ^= change
                refused = await attack.refused(bytes(token))
                if position in POOL_ID:
                    assert refused.reason is Refusal.UNKNOWN_PEER
                    assert refused.status is Status.DEVICE_UNREACHABLE
                else:
                    assert refused.reason in (Refusal.FORGED_TOKEN, Refusal.UNKNOWN_TOKEN)
                    assert refused.status is Status.INVALID_TOKEN

    trio.run(attacked, tmp_path / "pool", lambda attack: trio.from_thread.run(every_byte, attack))


def test_forged_and_altered_tokens_in_thousands(tmp_path: Path) -> None:
    """Random bytes, well-made tokens under other keys, stretches of a genuine one exchanged, two genuine ones mixed."""

    def attack_with(attack: Attack) -> None:
        @in_thousands
        @given(
            st.one_of(
                st.binary(min_size=TOKEN_BYTES, max_size=TOKEN_BYTES),
                st.binary(min_size=504, max_size=504).map(lambda body: attack.live[:8] + body),
                st.builds(seal, sealed_fields, st.binary(min_size=32, max_size=32)),
                st.builds(
                    seal,
                    sealed_fields.map(lambda content: replace(content, pool=attack.scene.registry.issuer)),
                    st.binary(min_size=32, max_size=32),
                ),
                st.tuples(st.integers(0, 511), st.binary(min_size=1, max_size=64)).map(
                    lambda change: _patched(attack.live, *change)
                ),
                st.integers(0, 512).map(lambda cut: attack.live[:cut] + next(iter(attack.ended))[cut:]),
            ),
            st.integers(0, 15).map(lambda sector: sector * 512),
        )
        def test(token: bytes, inside: int) -> None:
            if token == attack.live or token in attack.ended or is_zero_token(token):
                return
            refused = trio.from_thread.run(attack.refused, token, 0, inside)
            issuer = issuer_of(token)
            foreign = issuer is not None and issuer != attack.scene.registry.issuer
            assert refused.status is (Status.DEVICE_UNREACHABLE if foreign else Status.INVALID_TOKEN)

        test()
        assert attack.tried > CASES / 2

    trio.run(attacked, tmp_path / "pool", attack_with)


def _patched(token: bytes, offset: int, change: bytes) -> bytes:
    return (token[:offset] + change + token[offset + len(change) :])[:TOKEN_BYTES]


def test_ended_truncated_and_replayed_tokens_in_thousands(tmp_path: Path) -> None:
    """Replays at other offsets, cut tokens of every length, and why each one ended stays true while others come and go."""

    def attack_with(attack: Attack) -> None:
        @in_thousands
        @given(st.integers(0, 511), st.integers(0, 9), st.integers(0, 1000), st.integers(0, 23))
        def test(length: int, kind: int, which: int, sector: int) -> None:
            if kind == 0 and len(attack.ended) < 600:
                trio.from_thread.run(attack.renew)
            if kind < 4:
                token = attack.live[:length]
                if is_zero_token(token):
                    return
                assert trio.from_thread.run(attack.refused, token).reason is Refusal.FORGED_TOKEN
            elif kind < 7:
                token, reason = list(attack.ended.items())[which % len(attack.ended)]
                assert trio.from_thread.run(attack.refused, token, sector * 512).reason is reason
            else:  # a token holds what it holds, wherever in it somebody asks to begin
                inside = 8192 + which * 512
                refused = trio.from_thread.run(attack.refused, attack.live, 0, inside)
                assert refused.reason is Refusal.OFFSET_BEYOND_TOKEN

        test()
        assert attack.tried > CASES / 2

    trio.run(attacked, tmp_path / "pool", attack_with)


def test_a_token_of_another_pool_and_one_of_an_earlier_life_are_refused(tmp_path: Path) -> None:
    async def tokens_of(directory: Path) -> list[bytes]:
        async with open_pool(directory, owner="test") as pool:
            scene = Scene(pool.volume("main"))
            source = await scene.file(f"secret {scene.registry.issued}", SECRET)
            tokens = [await scene.read_token(source, 0, 4096) for _ in range(20)]
            scene.engine.close()
            return tokens

    async def run() -> None:
        for name in ("first", "second"):
            create_pool(tmp_path / name)
        foreign, earlier = await tokens_of(tmp_path / "first"), await tokens_of(tmp_path / "second")
        async with open_pool(tmp_path / "second", owner="test") as pool:
            scene = Scene(pool.volume("main"))
            attack = Attack(
                scene, await scene.file("another secret", SECRET), await scene.file("target", OURS)
            )
            for token in foreign:
                assert (await attack.refused(token)).status is Status.DEVICE_UNREACHABLE
            for token in earlier:
                refused = await attack.refused(token)
                assert refused.reason is Refusal.EARLIER_LIFE
                assert refused.status is Status.INSUFFICIENT_RESOURCES
            scene.engine.close()

    trio.run(run)


def test_reads_without_end_hold_no_more_than_the_bounds(tmp_path: Path) -> None:
    async def run(attack: Attack) -> None:
        tokens = [await attack.scene.read_token(attack.secret, 0, 4096) for _ in range(5 * MOST_TOKENS)]
        assert len(attack.scene.registry) == MOST_TOKENS
        assert len(attack.scene.volume.pool.pins) == MOST_TOKENS
        for token in tokens[: 4 * MOST_TOKENS]:
            refused = await attack.refused(token)
            assert refused.reason is Refusal.EVICTED_TOKEN
            assert refused.status is Status.INSUFFICIENT_RESOURCES
        attack.live = await attack.scene.read_token(attack.secret, 0, 8192)

    trio.run(attacked, tmp_path / "pool", lambda attack: trio.from_thread.run(run, attack))


def test_a_thousand_live_tokens_are_all_redeemed(tmp_path: Path) -> None:
    async def run() -> None:
        create_pool(tmp_path / "pool")
        async with open_pool(tmp_path / "pool", owner="test") as pool:
            scene = Scene(pool.volume("main"))
            content = scene.random_bytes(1000 * 4096)
            source, target = await scene.file("source", content), await scene.file("target")
            await scene.volume.truncate(target, len(content))
            tokens = [await scene.read_token(source, at, 4096) for at in range(0, len(content), 4096)]
            assert len(scene.registry) == 1000
            await scene.volume.write(source, 0, bytes(len(content)))
            for number, token in enumerate(tokens):
                assert await scene.write_token(target, number * 4096, 4096, token) == 4096
            assert await scene.content(target) == content
            assert scene.registry.sweep(scene.now + 1000) == 1000
            assert await pool.check() == []

    trio.run(run)
