"""Errors on their way out of nurseries."""

import pytest

from odxfs.errors import UserError
from odxfs.serving import single_errors


@pytest.mark.parametrize(
    ("errors", "kind"),
    [
        ([UserError("a"), UserError("b")], UserError),
        ([KeyboardInterrupt()], KeyboardInterrupt),
        ([UserError("a"), KeyboardInterrupt()], KeyboardInterrupt),
        ([UserError("a"), ZeroDivisionError()], BaseExceptionGroup),
        ([KeyboardInterrupt(), ZeroDivisionError()], BaseExceptionGroup),
    ],
)
def test_what_the_command_line_knows_comes_out_alone(
    errors: list[BaseException], kind: type[BaseException]
) -> None:
    group = BaseExceptionGroup("a nursery's", [BaseExceptionGroup("another's", errors)])
    with pytest.raises(BaseException) as caught, single_errors():  # noqa: PT011 - its kind is the question
        raise group
    assert isinstance(caught.value, kind)
