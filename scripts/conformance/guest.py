"""The Linux kernel's SMB client in a virtual machine: Debian's kernel, busybox, Python, `guest.sh` and `guest_use.py`.

Emulated without KVM it boots in some seconds; the guest reaches this machine's loopback as 10.0.2.2. Its console is the way to
talk: it says how a cell has ended and asks for what a program on this machine sees or does on the same volume's mount. Needs
root, and Debian's mirror the first time: qemu-system-x86, busybox-static and cpio are installed, the kernel's package is
unpacked into a folder, not installed.
"""

import fcntl
import hashlib
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from servers import free_port
from shared_mount import SharedMount, Traffic, difference, protection_fault, shared_mount

PACKAGES = ("qemu-system-x86", "busybox-static", "cpio")
KERNEL = "linux-image-amd64"
MODULES = (
    "virtio_pci", "virtio_net", "gcm", "ccm", "ctr", "ghash_generic", "seqiv", "cmac", "md5", "hmac", "ecb",
    "sha512_generic", "sha256_generic", "aes_generic", "nls_utf8", "cifs",
)  # fmt: skip
"""The network card, the client, and the ciphers that it looks up by name."""

PYTHON = "python3.11"
PROGRAMS = (f"/usr/bin/{PYTHON}", "/usr/bin/fallocate")
LEFT_OUT = shutil.ignore_patterns(
    "test", "lib2to3", "distutils", "idlelib", "tkinter", "ensurepip", "pydoc_data", "config-*", "lib-dynload",
    "asyncio", "unittest", "dist-packages", "__pycache__",
)  # fmt: skip

CELLS = tuple(
    (dialect, protection)
    for dialect in ("2.1", "3.0", "3.0.2", "3.1.1")
    for protection in ("plain", "signed", "encrypted")
    if (dialect, protection) != ("2.1", "encrypted")
)
GUEST_SECONDS = 900
_DEPENDENCIES = re.compile(rb"\0depends=([^\0]*)\0")
_LIBRARY = re.compile(r"(/\S+) \(0x")
_SAID = re.compile(r"(CELL|HOST) (.*)")


@dataclass
class Guest:
    """What came of one boot: a result a cell, the kernel's version, and what the server had to complain about."""

    kernel: str
    cells: dict[tuple[str, str], str] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)


def run_guest() -> Guest:
    """Boot the guest against a server of its own. A cell that it says nothing of has the result "nothing was said"."""
    _install()
    with (
        tempfile.TemporaryDirectory(prefix="odxfs-guest-") as base,
        shared_mount(Path(base, "server"), "127.0.0.1", free_port(), "--signing", "offered") as server,
    ):
        folder = Path(base)
        kernel = _unpack_kernel(folder / "kernel")
        image = _make_image(folder, kernel, server.port)
        boot = next(kernel.glob("boot/vmlinuz-*"))
        guest = Guest(boot.name.removeprefix("vmlinuz-"), dict.fromkeys(CELLS, "nothing was said"))
        _converse(guest, server, boot, image)
        guest.complaints += server.complaints()
    return guest


def _converse(guest: Guest, server: SharedMount, kernel: Path, image: Path) -> None:
    process = subprocess.Popen(
        ["qemu-system-x86_64", "-machine", "accel=tcg", "-cpu", "max", "-m", "768", "-nographic", "-no-reboot",
         "-kernel", kernel, "-initrd", image, "-append", "console=ttyS0 quiet panic=-1",
         "-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    end = threading.Timer(GUEST_SECONDS, process.kill)
    end.start()
    try:
        before = server.traffic()
        for line in process.stdout:
            found = _SAID.search(line.decode("utf-8", "replace"))
            if found is None:
                continue
            answer = "go on"
            if found[1] == "CELL":
                now = server.traffic()
                _keep_result(guest, found[2].strip(), difference(now, before))
                before = now
            else:
                answer = _answer(server, *found[2].split())
            process.stdin.write(f"{answer}\n".encode("ascii"))
            process.stdin.flush()
    finally:
        end.cancel()
        process.kill()
        process.wait()


def _keep_result(guest: Guest, said: str, came: Traffic) -> None:
    dialect, protection, result = (*said.split(maxsplit=2), "")[:3]
    fault = protection_fault(
        _without_few_signed(came) if protection == "plain" else came, dialect, protection
    )
    guest.cells[dialect, protection] = fault if result.strip() == "ok" and fault else result.strip()
    print(f"{'Linux':12} {dialect:6} {protection:10} {guest.cells[dialect, protection]}", flush=True)


def _without_few_signed(came: Traffic) -> Traffic:
    """A client that signs nothing else signs what a downgrade would be seen by: TREE_CONNECT and VALIDATE_NEGOTIATE_INFO."""
    plain = sum(count for (_, how), count in came.items() if how == "plain")
    return {key: count for key, count in came.items() if key[1] != "signed" or count > plain // 10}


def _answer(server: SharedMount, verb: str, name: str, *words: str) -> str:
    """What a program on this machine sees, or does, with a file of the mount."""
    file = server.mountpoint / name
    if verb == "copied":
        return str(server.copied_bytes(name))
    if verb == "hash":
        return hashlib.sha256(file.read_bytes()).hexdigest()
    if verb == "blocks":
        return str(file.stat().st_blocks)
    if verb == "write":
        with file.open("r+b") as opened:
            opened.seek(int(words[0]))
            opened.write(words[1].encode("ascii"))
        return "done"
    with file.open("r+b") as opened:
        try:
            fcntl.lockf(opened, fcntl.LOCK_EX | fcntl.LOCK_NB, int(words[1]), int(words[0]))
        except OSError:
            return "refused"
    return "taken"


def _install() -> None:
    if not all(shutil.which(name) for name in ("qemu-system-x86_64", "busybox", "cpio")):
        words = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *PACKAGES]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


def _unpack_kernel(folder: Path) -> Path:
    """Debian's kernel of today and its modules, below `folder`."""
    folder.mkdir()
    listed = subprocess.run(["apt-cache", "depends", KERNEL], check=True, capture_output=True, text=True)
    package = re.findall(r"Depends: (linux-image-\S+)", listed.stdout)[0]
    subprocess.run(["apt-get", "download", "-qq", package], cwd=folder, check=True, capture_output=True)
    subprocess.run(["dpkg-deb", "-x", next(folder.glob("*.deb")), folder], check=True)
    return folder


def _make_image(folder: Path, kernel: Path, port: int) -> Path:
    root = folder / "root"
    for name in ("bin", "modules", "proc", "sys", "dev", "mnt", "tmp"):
        (root / name).mkdir(parents=True)
    shutil.copy(shutil.which("busybox") or "/bin/busybox", root / "bin" / "busybox")
    (root / "bin" / "sh").symlink_to("busybox")
    _add_programs(root)
    here = Path(__file__).parent
    shutil.copy(here / "guest_use.py", root)
    script = (here / "guest.sh").read_text(encoding="ascii").replace("PORT", str(port))
    modules = {path.stem.replace("-", "_"): path for path in kernel.rglob("*.ko")}
    order: list[str] = []
    for name in MODULES:
        _add_module(name, modules, order)
    for name in order:
        shutil.copy(modules[name], root / "modules" / f"{name}.ko")
    init = root / "init"
    init.write_text(_START + "".join(f"insmod /modules/{name}.ko\n" for name in order) + script + _END)
    init.chmod(0o755)
    pack = "find . | cpio --quiet -o -H newc | gzip -1 > ../image"
    subprocess.run(pack, shell=True, cwd=root, check=True)
    return folder / "image"


_START = """#!/bin/sh
/bin/busybox --install -s /bin
export PATH=/usr/bin:/bin
mount -t proc proc /proc
mount -t devtmpfs dev /dev
"""
_END = "poweroff -f\n"


def _add_programs(root: Path) -> None:
    """Python without what it does not need here, and each program's shared libraries where it looks for them."""
    for program in PROGRAMS:
        listed = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
        _copy_to(root, [program, *_LIBRARY.findall(listed)])
    shutil.copytree(f"/usr/lib/{PYTHON}", root / f"usr/lib/{PYTHON}", ignore=LEFT_OUT)
    (root / f"usr/lib/{PYTHON}/lib-dynload").mkdir()
    (root / "usr/bin/python3").symlink_to(PYTHON)


def _copy_to(root: Path, files: Sequence[str]) -> None:
    for name in files:
        target = root / name.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(name, target)


def _add_module(name: str, modules: Mapping[str, Path], order: list[str]) -> None:
    """Add a module after what it depends on; one that is built into the kernel has no file."""
    if name in order or name not in modules:
        return
    found = _DEPENDENCIES.search(modules[name].read_bytes())
    for other in found[1].decode("ascii").split(",") if found else ():
        _add_module(other.replace("-", "_"), modules, order)
    order.append(name)
