"""`odxfs share` and the process that serves the pool."""

from pathlib import Path
from typing import Any

import pytest

from odxfs.cli.main import main
from odxfs.errors import ExitCode
from odxfs.volume import create_pool


@pytest.mark.parametrize(("svms", "says_so"), [("", True), ("[svm.default]", False)])
def test_the_first_share_of_a_mount_is_not_called_served(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    svms: str,
    says_so: bool,
) -> None:
    create_pool(tmp_path / "pool")

    def ask(directory: Path, *_: Any, **__: Any) -> dict[str, Any]:
        return {"toml": f'[mounts]\nmain = "/mnt"\n{svms}', "file": str(directory / "odxfs.toml")}

    monkeypatch.setattr("odxfs.cli.configurations.ask", ask)
    assert main(["share", "add", str(tmp_path / "pool"), "vms"]) == ExitCode.OK
    assert ("odxfs config reload" in capsys.readouterr().out) is says_so
