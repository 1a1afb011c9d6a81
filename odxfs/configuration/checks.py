"""What cannot be true together in a configuration whose values are all right by themselves."""

from collections.abc import Iterator
from itertools import combinations

from odxfs.configuration.model import Configuration, DialectName, SvmConfiguration, TokenBounds
from odxfs.smb.settings import Encryption

_DIALECTS = list(DialectName)
_FIRST_WITH_ENCRYPTION = DialectName.SMB_3_0

Contradiction = tuple[tuple[str, ...], str]
"""The table or key where it shows, and the sentence that says it."""


def find_contradictions(configuration: Configuration) -> Iterator[Contradiction]:
    """Each contradiction once."""
    if len(configuration.mounts) > 1:
        yield ("mounts",), f"one process mounts one volume, not {len(configuration.mounts)}"
    yield from _tokens(configuration.tokens)
    for name, svm in configuration.svm.items():
        for key, sentence in _in_svm(svm):
            yield ("svm", name, *key), f"[svm.{name}] {sentence}"
        yield from _foreign_volumes(configuration, name, svm)
    for (one, first), (other, second) in combinations(configuration.svm.items(), 2):
        for clash, sentence in _between(first, one, second):
            yield ("svm", other, clash), f"[svm.{other}] {sentence}"


def _in_svm(svm: SvmConfiguration) -> Iterator[Contradiction]:
    if not svm.listen:
        yield (), "listen is missing: each SVM has an address and port of its own"
    if _DIALECTS.index(svm.min_dialect) > _DIALECTS.index(svm.max_dialect):
        yield (
            ("min-dialect",),
            f"min-dialect {svm.min_dialect.value} is above max-dialect {svm.max_dialect.value}",
        )
    yield from _encryption(svm)
    yield from _tokens(svm.tokens)
    folded: dict[str, str] = {}
    for share in svm.share:
        twin = folded.setdefault(share.casefold(), share)
        if twin != share:
            yield ("share", share), f"the shares {twin} and {share} differ only in case"


def _tokens(bounds: TokenBounds) -> Iterator[Contradiction]:
    if not bounds.shortest_lifetime <= bounds.default_lifetime <= bounds.longest_lifetime:
        yield (
            ("tokens",),
            "tokens: default-lifetime does not lie between shortest-lifetime and longest-lifetime",
        )


def _encryption(svm: SvmConfiguration) -> Iterator[Contradiction]:
    unable = svm.encryption is Encryption.OFF
    too_old = _DIALECTS.index(svm.max_dialect) < _DIALECTS.index(_FIRST_WITH_ENCRYPTION)
    if svm.encryption is Encryption.REQUIRED and too_old:
        yield (
            ("max-dialect",),
            f"encryption is required, which max-dialect {svm.max_dialect.value} has not got",
        )
    for name, share in svm.share.items():
        if share.encrypt and (unable or too_old):
            yield (
                ("share", name, "encrypt"),
                f"the share {name} wants encryption, which the SVM does not serve",
            )


def _foreign_volumes(
    configuration: Configuration, name: str, svm: SvmConfiguration
) -> Iterator[Contradiction]:
    for share_name, share in svm.share.items():
        owner = configuration.owner_of(share.volume)
        if owner != name:
            yield (
                ("svm", name, "share", share_name),
                f"[svm.{name}] the share {share_name} serves volume {share.volume!r}, which belongs to SVM {owner!r}",
            )


def _between(first: SvmConfiguration, one: str, second: SvmConfiguration) -> Iterator[tuple[str, str]]:
    for volume in second.volumes:
        if volume in first.volumes:
            yield "volumes", f"volume {volume!r} belongs to SVM {one!r} already"
    for mine in second.listen:
        if any(mine.collides(theirs) for theirs in first.listen):
            yield "listen", f"listen {mine} is SVM {one!r}'s already"
    if first.server_name.casefold() == second.server_name.casefold():
        yield "server-name", f"server-name {second.server_name!r} is SVM {one!r}'s already"
