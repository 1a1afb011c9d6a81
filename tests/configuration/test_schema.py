"""The schema knows what the reader knows: every key, its meaning, its values."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from odxfs.configuration.model import Configuration
from odxfs.configuration.schema import make_schema
from odxfs.configuration.settings import NamedTables, NamedValues, Table, settings_of
from tests.configuration.test_reading import example


def problems(schema: dict[str, Any], value: object, path: str = "") -> Iterator[str]:
    """Where `value` has what the schema does not know."""
    if isinstance(value, dict):
        for key, inner in value.items():
            known = schema.get("properties", {}).get(key) or schema.get("additionalProperties")
            if not known:
                yield f"{path}.{key}"
            else:
                yield from problems(known, inner, f"{path}.{key}")


def test_the_guides_example_is_known_to_the_schema() -> None:
    assert list(problems(make_schema(), tomllib.loads(example()))) == []
    assert list(problems(make_schema(), {"svm": {"a": {"sining": 1}}})) == [".svm.a.sining"]


def test_every_key_is_described_and_every_default_is_a_value_of_its_kind() -> None:
    def look(model: type) -> None:
        for setting in settings_of(model):
            assert setting.doc.endswith(".")
            if isinstance(setting.kind, Table | NamedTables):
                look(setting.kind.model)
            elif not isinstance(setting.kind, NamedValues) and setting.default not in ("", (), Path()):
                assert setting.kind.read(setting.kind.write(setting.default)) == setting.default

    look(Configuration)
