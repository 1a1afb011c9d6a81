"""Who has a process end gets the disk back that it served from: it keeps its log open until it is gone."""

import subprocess
import sys
from pathlib import Path

from odxfs.control.client import ask

SERVER = """
import socket, sys, time
from pathlib import Path
place = Path(sys.argv[1])
with socket.socket(socket.AF_UNIX) as listener:
    listener.bind(str(place / "control"))
    listener.listen()
    print("listens", flush=True)
    with listener.accept()[0] as connection:
        connection.recv(4096)
        connection.sendall(b'{"ok": true, "result": {}}\\n')
time.sleep(0.3)
(place / "gone").touch()
"""


def test_the_end_of_a_process_that_says_it_ends_is_waited_for(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", SERVER, str(tmp_path)], stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == b"listens\n"
        assert ask(tmp_path, "shutdown", until_gone=True) == {}
        assert (tmp_path / "gone").exists()
