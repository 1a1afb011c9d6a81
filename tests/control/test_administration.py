"""What a pool refuses its administrator: in words, and by the exit code that says whose it is to mend."""

from pathlib import Path

import pytest

from odxfs.administration import COMMANDS, run_command
from odxfs.control.arguments import Arguments
from odxfs.errors import ExitCode, UserError
from tests.support.serving import serve

SIZE = 1 << 20


@pytest.mark.parametrize(
    ("path", "to", "code", "said"),
    [
        ("grün", "copy", ExitCode.NOT_FOUND, "there is no 'grün'"),
        ("file", "grün/copy", ExitCode.NOT_FOUND, "there is no 'grün'"),
        ("file/below", "copy", ExitCode.NOT_FOUND, "is not a directory"),
        ("file", "file/copy", ExitCode.NOT_FOUND, "is not a directory"),
        ("file", "copy", ExitCode.NO_SPACE, "quota"),
    ],
)
async def test_what_cannot_be_brought_back_from_a_snapshot(
    tmp_path: Path, path: str, to: str, code: ExitCode, said: str
) -> None:
    async with serve(tmp_path) as served:
        volume = served.volume
        inode = await volume.create(volume.root, b"file", 0o644, 0, 0)
        await volume.write(inode, 0, b"x" * SIZE)
        await served.pool.snapshots.create("main", "then")
        await served.pool.volumes.set_quota("main", SIZE)
        asked = Arguments({"volume": "main", "name": "then", "path": path, "to": to})
        with pytest.raises(UserError, match=said) as refused:
            await run_command(COMMANDS["snapshot restore path"], served.pool, asked)
        assert refused.value.exit_code is code
