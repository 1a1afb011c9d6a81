"""smbprotocol's high-level package `smbclient`, whatever other module of that name is on the path.

impacket installs a script smbclient.py beside the pytest command, and that folder comes first on the path.
"""

import importlib
import sys
from pathlib import Path
from unittest import mock

_PATH = [entry for entry in sys.path if not Path(entry, "smbclient.py").exists()]
with mock.patch.object(sys, "path", _PATH):
    smbclient = importlib.import_module("smbclient")
    shutil = importlib.import_module("smbclient.shutil")
