"""The faults that a share's policy asks for, so that authors of clients can test every path."""

from odxfs.errors import OffloadRefused, Refusal
from odxfs.offload_policy import OffloadPolicy

MOST_SHARES = 1024
"""Shares whose calls are counted; past it counting begins anew."""


class Faults:
    """Counts the token calls of each share that fails one of them, from the first call under that policy on."""

    def __init__(self) -> None:
        self._calls: dict[tuple[str, str], tuple[OffloadPolicy, int]] = {}

    def meet(self, svm: str, share: str, policy: OffloadPolicy) -> None:
        """One call more on the share. Raises OffloadRefused if the policy refuses it, with the status that it chose."""
        if policy.refuse is not None:
            raise OffloadRefused(Refusal.INJECTED, policy.refuse)
        if policy.fail_call and self._count(svm, share, policy) == policy.fail_call:
            raise OffloadRefused(Refusal.INJECTED, policy.fail_status)

    def _count(self, svm: str, share: str, policy: OffloadPolicy) -> int:
        before, calls = self._calls.get((svm, share), (policy, 0))
        if before != policy:
            calls = 0
        if len(self._calls) > MOST_SHARES:
            self._calls.clear()
        self._calls[svm, share] = (policy, calls + 1)
        return calls + 1
