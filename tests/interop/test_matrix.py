"""The matrix of clients (scripts/conformance) itself: cells work, and one whose client is not what it says fails."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "scripts"
PROGRAM = SCRIPTS / "conformance" / "matrix.py"


def test_a_client_that_signs_where_it_is_to_encrypt_fails_its_cell(tmp_path: Path) -> None:
    real, careless = shutil.which("smbclient"), tmp_path / "smbclient"
    careless.write_text(f'#!/bin/bash\nexec {real} "${{@/protection=encrypt/protection=sign}}"\n')
    careless.chmod(0o755)
    done = subprocess.run(
        [sys.executable, PROGRAM, "--clients", "smbclient,smbprotocol", "--dialects", "3.0.2"],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": f"{ROOT}:{SCRIPTS / 'guest'}"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "smbclient 3.0.2 encrypted:" in done.stdout
    assert "requests came signed in 3.0.2" in done.stdout
    assert done.stdout.splitlines()[-1] == "3 of 4 cells are ok"
