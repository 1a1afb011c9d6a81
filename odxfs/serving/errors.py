"""Errors on their way out of nurseries."""

from collections.abc import Iterator
from contextlib import contextmanager

from odxfs.errors import OdxfsError


@contextmanager
def single_errors(*also: type[Exception]) -> Iterator[None]:
    """Raise the project's own error, Ctrl-C's, or one of `also` out of the exception groups that nurseries make, if that is all
    there is.
    """
    try:
        yield
    except BaseExceptionGroup as group:
        leaves = list(_leaves(group))
        if all(isinstance(leaf, (OdxfsError, KeyboardInterrupt, *also)) for leaf in leaves):
            interrupts = [leaf for leaf in leaves if isinstance(leaf, KeyboardInterrupt)]
            raise (interrupts or leaves)[0] from None
        raise


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """What is in an exception group, to any depth; an exception by itself is its own leaf."""
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            yield from _leaves(part)
    else:
        yield error
