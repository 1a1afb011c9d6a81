"""Errors on their way out of nurseries."""

from collections.abc import Iterator
from contextlib import contextmanager

from odxfs.errors import OdxfsError


@contextmanager
def single_errors() -> Iterator[None]:
    """Raise the project's own error out of the exception groups that nurseries make, if it is all there is in them."""
    try:
        yield
    except BaseExceptionGroup as group:
        leaves = list(_leaves(group))
        if all(isinstance(leaf, OdxfsError) for leaf in leaves):
            raise leaves[0] from None
        raise


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """What is in an exception group, to any depth; an exception by itself is its own leaf."""
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            yield from _leaves(part)
    else:
        yield error
