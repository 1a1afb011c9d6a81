"""A virtual machine for the Linux kernel's SMB client: Debian's kernel, busybox and Python in an image of memory, by qemu.

The guest reaches this machine's loopback as 10.0.2.2. It boots in some seconds, with KVM where the processor has it, else
emulated. Needs root, and Debian's mirror: qemu-system-x86, busybox-static and cpio are installed, the kernel's package is
unpacked into a folder, not installed.
"""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

HOST = "10.0.2.2"
"""This machine's loopback, as the guest calls it."""

PACKAGES = ("qemu-system-x86", "busybox-static", "cpio")
KERNEL = "linux-image-amd64"
MODULES = (
    "virtio_pci", "virtio_net", "virtio_console", "gcm", "ccm", "ctr", "ghash_generic", "seqiv", "cmac", "md5", "hmac", "ecb",
    "sha512_generic", "sha256_generic", "aes_generic", "nls_utf8", "cifs",
)  # fmt: skip
"""The network card, the channel to the host, the client, and the ciphers that it looks up by name."""

PYTHON = "python3.11"
PROGRAMS = (f"/usr/bin/{PYTHON}", "/usr/bin/fallocate")
LEFT_OUT = shutil.ignore_patterns(
    "test", "lib2to3", "distutils", "idlelib", "tkinter", "ensurepip", "pydoc_data", "config-*", "lib-dynload",
    "asyncio", "unittest", "dist-packages", "__pycache__",
)  # fmt: skip
_KERNEL_NAME = "vmlinuz-"
_DEPENDENCIES = re.compile(rb"\0depends=([^\0]*)\0")
_LIBRARY = re.compile(r"(/\S+) \(0x")
_VIRTUALIZATION = re.compile(r"^flags\b.*\b(vmx|svm)\b", re.MULTILINE)

_START = """#!/bin/sh
/bin/busybox --install -s /bin
export PATH=/usr/bin:/bin
mount -t proc proc /proc
mount -t devtmpfs dev /dev
"""
_NETWORK = f"ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up\nroute add default gw {HOST}\n"
_END = "poweroff -f\n"


class GuestMissing(Exception):
    """There can be no guest on this machine, and why."""


@dataclass(frozen=True)
class Machine:
    """What guests are started from, in a folder: a kernel, and the image whose /init it runs."""

    folder: Path

    @property
    def kernel(self) -> Path:
        """Named by its version."""
        return next(self.folder.glob(f"{_KERNEL_NAME}*"))

    @property
    def version(self) -> str:
        """Of the kernel."""
        return self.kernel.name.removeprefix(_KERNEL_NAME)

    @property
    def image(self) -> Path:
        """Of the root that lies in memory."""
        return self.folder / "image"

    def words(self, *more: str) -> list[str]:
        """The command that boots it and ends when it is off or has panicked; `more` words say where its console goes."""
        return [
            "qemu-system-x86_64", "-machine", f"accel={accelerator()}", "-cpu", "max", "-m", "768", "-no-reboot",
            "-kernel", str(self.kernel), "-initrd", str(self.image),
            "-append", "console=ttyS0 quiet panic=-1 oops=panic",
            "-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net", *more,
        ]  # fmt: skip


def accelerator() -> str:
    """What qemu runs the guest by: kvm or tcg."""
    # There are machines with a /dev/kvm that does not need the processor's help, on which Debian's kernel does not come up.
    has_help = _VIRTUALIZATION.search(Path("/proc/cpuinfo").read_text()) is not None
    return "kvm" if has_help and os.access("/dev/kvm", os.R_OK | os.W_OK) else "tcg"


def make_machine(folder: Path, script: str, files: Sequence[Path]) -> Machine:
    """Make that folder, with what boots, runs `script` and then is off; `files` are in its root. Raises GuestMissing."""
    folder.mkdir()
    try:
        _install()
        with tempfile.TemporaryDirectory(dir=folder) as unpacked:
            _unpack_kernel(Path(unpacked))
            _make_image(folder / "image", Path(unpacked), script, files)
            shutil.copy(next(Path(unpacked).glob(f"boot/{_KERNEL_NAME}*")), folder)
    except (GuestMissing, OSError) as error:
        shutil.rmtree(folder)
        raise GuestMissing(str(error)) from error
    return Machine(folder)


def _install() -> None:
    if not all(shutil.which(name) for name in ("qemu-system-x86_64", "busybox", "cpio")):
        _run("apt-get", "install", "-y", "-qq", "--no-install-recommends", *PACKAGES)


def _unpack_kernel(folder: Path) -> None:
    """Debian's kernel of today and its modules, into `folder`."""
    package = re.search(r"Depends: (linux-image-\S+)", _run("apt-cache", "depends", KERNEL))
    if package is None:
        raise GuestMissing(f"apt knows no {KERNEL}; apt-get update may help")
    _run("apt-get", "download", "-qq", package[1], cwd=folder)
    _run("dpkg-deb", "-x", str(next(folder.glob("*.deb"))), str(folder))


def _make_image(target: Path, kernel: Path, script: str, files: Sequence[Path]) -> None:
    root = kernel / "root"
    for name in ("bin", "modules", "proc", "sys", "dev", "mnt", "tmp"):
        (root / name).mkdir(parents=True)
    shutil.copy(shutil.which("busybox") or "/bin/busybox", root / "bin" / "busybox")
    (root / "bin" / "sh").symlink_to("busybox")
    _add_programs(root)
    for file in files:
        shutil.copy(file, root)
    init = root / "init"
    init.write_text(_START + _add_modules(root / "modules", kernel) + _NETWORK + script + _END)
    init.chmod(0o755)
    _run("sh", "-c", f"find . | cpio --quiet -o -H newc | gzip -1 > '{target.resolve()}'", cwd=root)


def _add_programs(root: Path) -> None:
    """Python without what it does not need here, and each program's shared libraries where it looks for them."""
    for program in PROGRAMS:
        _copy_to(root, [program, *_LIBRARY.findall(_run("ldd", program))])
    shutil.copytree(f"/usr/lib/{PYTHON}", root / f"usr/lib/{PYTHON}", ignore=LEFT_OUT)
    (root / f"usr/lib/{PYTHON}/lib-dynload").mkdir()
    (root / "usr/bin/python3").symlink_to(PYTHON)


def _copy_to(root: Path, files: Sequence[str]) -> None:
    for name in files:
        target = root / name.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(name, target)


def _add_modules(folder: Path, kernel: Path) -> str:
    """Copy them and what they depend on; the commands that load them in order."""
    modules = {path.stem.replace("-", "_"): path for path in kernel.rglob("*.ko")}
    order: list[str] = []
    for name in MODULES:
        _add_module(name, modules, order)
    for name in order:
        shutil.copy(modules[name], folder / f"{name}.ko")
    return "".join(f"insmod /modules/{name}.ko\n" for name in order)


def _add_module(name: str, modules: Mapping[str, Path], order: list[str]) -> None:
    """Add a module after what it depends on; one that is built into the kernel has no file."""
    if name in order or name not in modules:
        return
    found = _DEPENDENCIES.search(modules[name].read_bytes())
    for other in found[1].decode("ascii").split(",") if found else ():
        _add_module(other.replace("-", "_"), modules, order)
    order.append(name)


def _run(*words: str, cwd: Path | None = None) -> str:
    """What the command printed. Raises GuestMissing when it fails."""
    done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        raise GuestMissing(f"{' '.join(words)}: {done.stderr.strip()}")
    return done.stdout
