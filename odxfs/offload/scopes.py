"""The bounds on tokens: how many, and how much space, an SVM, a volume or client of it, and the pool may hold in them.

Space is counted in leaves (8 MiB windows of a file's blocks): a leaf counts whole while tokens hold it and no file and no
snapshot does. That is what ending tokens could give back at most, since blocks that a changed copy of the leaf still has in
common with it are counted, too. It is looked at once in a while, and only where two cheap numbers allow the bound to be passed:
what all leaves of the scope's tokens allocate, which is never too low, and what only pins held in the pool at its last commit.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping

from odxfs.offload.entries import TokenEntry, TokenOrigin
from odxfs.offload.token import TokenId
from odxfs.offload_settings import TokenLimits
from odxfs.types import BLOCK_BYTES
from odxfs.volume import Pin

_Key = tuple[str, str, str]
"""Kind, SVM, and which one: what an SVM decides about a volume or a client, it decides for its own tokens."""

HeldAlone = Callable[[Pin], Mapping[int, int]]
"""The leaves of a pin that neither a file nor a snapshot holds, and the bytes that each allocates."""


class Scope:
    """The tokens of one SVM, of one volume or client of it, or of the pool; the longest idle first.

    Its bounds are those of the last call that made a token in it: an administrator's change counts from the next one on.
    """

    def __init__(self) -> None:
        self.entries: OrderedDict[TokenId, TokenEntry] = OrderedDict()
        self.most_tokens = 0
        self.most_bytes = 0
        self._leaf_bytes = 0

    def add(self, entry: TokenEntry) -> None:
        """One token more, the last used."""
        self.entries[entry.id] = entry
        self._leaf_bytes += _leaf_bytes(entry)

    def remove(self, entry: TokenEntry) -> None:
        """The token has ended."""
        del self.entries[entry.id]
        self._leaf_bytes -= _leaf_bytes(entry)

    @property
    def is_overfull(self) -> bool:
        """Whether there are too many tokens."""
        return len(self.entries) > self.most_tokens

    def longest_idle(self, newest: TokenEntry) -> TokenEntry:
        """The token to end for the newest one: one in use only where all others are."""
        others = (entry for entry in self.entries.values() if entry is not newest)
        first = next(others, newest)
        return first if not first.writers else next((each for each in others if not each.writers), first)

    def overweight(self, pool_bytes: int, held_alone: HeldAlone) -> list[TokenEntry]:
        """The longest idle tokens that must end for the scope to keep within its bytes; none of them is in use.

        Cost: one look at each leaf of each token, where the cheap numbers do not answer.
        """
        if min(self._leaf_bytes, pool_bytes) <= self.most_bytes:
            return []
        leaves = self._leaves_alone(held_alone)
        sizes = {leaf: size for held in leaves.values() for leaf, size in held.items()}
        return _first_that_hold(sum(sizes.values()) - self.most_bytes, leaves)

    def holders(self, size: int, held_alone: HeldAlone) -> list[TokenEntry]:
        """The longest idle tokens that are not in use and hold so many bytes, or all that hold any."""
        return _first_that_hold(size, self._leaves_alone(held_alone))

    def _leaves_alone(self, held_alone: HeldAlone) -> dict[TokenEntry, Mapping[int, int]]:
        return {entry: held_alone(entry.pin) for entry in self.entries.values()}


class Scopes:
    """Every scope that has tokens."""

    def __init__(self) -> None:
        self._scopes: dict[_Key, Scope] = {}

    def __iter__(self) -> Iterator[Scope]:
        return iter(list(self._scopes.values()))

    def add(self, entry: TokenEntry, limits: TokenLimits) -> list[Scope]:
        """Enter a token; returns its scopes, which go by `limits` from now on."""
        entered = []
        for key, (most_tokens, most_bytes) in _bounds(entry.origin, limits).items():
            scope = self._scopes.setdefault(key, Scope())
            scope.most_tokens, scope.most_bytes = most_tokens, most_bytes
            scope.add(entry)
            entered.append(scope)
        return entered

    def remove(self, entry: TokenEntry) -> None:
        """Take a token out; scopes without tokens go with it."""
        for key in _keys(entry.origin):
            scope = self._scopes[key]
            scope.remove(entry)
            if not scope.entries:
                del self._scopes[key]

    def used(self, entry: TokenEntry) -> None:
        """The token was used just now."""
        for key in _keys(entry.origin):
            self._scopes[key].entries.move_to_end(entry.id)


def _first_that_hold(wanted: int, leaves: Mapping[TokenEntry, Mapping[int, int]]) -> list[TokenEntry]:
    """As many of the tokens, in their order, as hold `wanted` bytes of leaves that no other holds besides; not those in use."""
    holders, ending = Counter(leaf for held in leaves.values() for leaf in held), list[TokenEntry]()
    for entry, held in leaves.items():
        if wanted <= 0:
            break
        if entry.writers or not held:
            continue
        ending.append(entry)
        holders.subtract(held.keys())
        wanted -= sum(size for leaf, size in held.items() if not holders[leaf])
    return ending


def _keys(origin: TokenOrigin) -> tuple[_Key, ...]:
    svm = origin.svm
    return (("volume", svm, origin.volume), ("svm", svm, ""), ("client", svm, origin.client))


def _bounds(origin: TokenOrigin, limits: TokenLimits) -> dict[_Key, tuple[int, int]]:
    """Scope -> (tokens, bytes)."""
    volume, svm, client = _keys(origin)
    return {
        volume: (limits.tokens_per_volume, limits.pinned_bytes_per_volume),
        svm: (limits.tokens_per_svm, limits.pinned_bytes_per_svm),
        client: (limits.tokens_per_client, limits.pinned_bytes_per_client),
    }


def _leaf_bytes(entry: TokenEntry) -> int:
    return entry.pin.most_allocated_blocks * BLOCK_BYTES
