"""What an administrator does to a pool, once for both ways it is reached: through the process that serves it, or by opening it.

A command takes the pool and the arguments of a control command and returns what JSON can say.
"""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from odxfs.control.arguments import Arguments
from odxfs.control.client import NotServed, Unanswered, ask
from odxfs.errors import (
    AlreadyExists,
    ExitCode,
    InvalidArgument,
    NameTooLong,
    NoSpace,
    NotADirectory,
    NotEmpty,
    NotFound,
    QuotaExceeded,
    SharingViolation,
    UserError,
    VolumeError,
)
from odxfs.types import BLOCK_BYTES
from odxfs.volume import Pool, Snapshot, VolumeRecord, open_pool

Command = Callable[[Pool, Arguments], Awaitable[dict[str, Any]]]

_EXIT_CODES: dict[type[VolumeError], ExitCode] = {
    AlreadyExists: ExitCode.EXISTS,
    NotFound: ExitCode.NOT_FOUND,
    NotADirectory: ExitCode.NOT_FOUND,
    NoSpace: ExitCode.NO_SPACE,
    QuotaExceeded: ExitCode.NO_SPACE,
    SharingViolation: ExitCode.BUSY,
    NotEmpty: ExitCode.BUSY,
    InvalidArgument: ExitCode.USAGE,
    NameTooLong: ExitCode.USAGE,
}

NAME_FROM_TIME = "%Y-%m-%dT%H%M%SZ"
"""The name of a snapshot that is given none."""


async def create_snapshot(pool: Pool, arguments: Arguments) -> dict[str, Any]:
    """Make a snapshot of `volume`, called `name`, or after the time."""
    name = arguments.text("name", "") or datetime.fromtimestamp(pool.clock() / 1e9, UTC).strftime(
        NAME_FROM_TIME
    )
    snapshot = await pool.snapshots.create(arguments.text("volume"), name)
    return {"snapshot": snapshot_as_json(snapshot)}


async def list_snapshots(pool: Pool, arguments: Arguments) -> dict[str, Any]:
    """The snapshots of `volume`, oldest first, with what deleting each would free."""
    listed = []
    for snapshot in pool.snapshots.of(arguments.text("volume")):
        with suppress(NotFound):  # deleted while the others were looked at
            held = await pool.snapshots.held_bytes(snapshot)
            listed.append(snapshot_as_json(snapshot) | {"held_bytes": held})
    return {"snapshots": listed}


async def delete_snapshot(pool: Pool, arguments: Arguments) -> dict[str, Any]:
    """Delete snapshot `name` of `volume`. A pool that is opened for it is kept until its space is free."""
    await pool.snapshots.delete(arguments.text("volume"), arguments.text("name"))
    return {}


async def restore_path(pool: Pool, arguments: Arguments) -> dict[str, Any]:
    """Clone `path` out of snapshot `name` of `volume` to the path `to`; with `replace` over what is there."""
    volume, path = arguments.text("volume"), arguments.text("path")
    copied = await pool.snapshots.restore_path(
        volume,
        arguments.text("name"),
        path,
        arguments.text("to", "") or path,
        replace=arguments.flag("replace"),
    )
    return asdict(copied)


async def snapshot_to_restore(pool: Pool, arguments: Arguments) -> dict[str, Any]:
    """Snapshot `name` of `volume`, before the volume is taken back to it."""
    return {
        "snapshot": snapshot_as_json(pool.snapshots.find(arguments.text("volume"), arguments.text("name")))
    }


async def restore_volume(pool: Pool, arguments: Arguments) -> dict[str, Any]:
    """Take the whole of `volume` back to snapshot `name`."""
    await pool.snapshots.restore(arguments.text("volume"), arguments.text("name"))
    return {}


async def create_volume(pool: Pool, arguments: Arguments) -> dict[str, Any]:
    """Make the empty volume `name`."""
    return {"volume": volume_as_json(await pool.volumes.create(arguments.text("name")))}


async def clone_volume(pool: Pool, arguments: Arguments) -> dict[str, Any]:
    """Make the volume `name` out of `snapshot` of `volume`."""
    record = await pool.volumes.clone(
        arguments.text("name"), arguments.text("volume"), arguments.text("snapshot")
    )
    return {"volume": volume_as_json(record)}


async def delete_volume(pool: Pool, arguments: Arguments) -> dict[str, Any]:
    """Delete the volume `name`, which nobody uses."""
    await pool.volumes.delete(arguments.text("name"))
    return {}


async def list_volumes(pool: Pool, _: Arguments) -> dict[str, Any]:
    """The volumes."""
    records = [pool.namespace.record_of(name) for name in pool.volume_names]
    return {"volumes": [volume_as_json(record) for record in records]}


async def set_quota(pool: Pool, arguments: Arguments) -> dict[str, Any]:
    """Let the files of the volume `name` allocate `bytes` bytes, or what they like (0)."""
    record = await pool.volumes.set_quota(arguments.text("name"), arguments.number("bytes"))
    return {"volume": volume_as_json(record)}


COMMANDS: dict[str, Command] = {
    "snapshot create": create_snapshot,
    "snapshot list": list_snapshots,
    "snapshot delete": delete_snapshot,
    "snapshot restore path": restore_path,
    "volume list": list_volumes,
    "volume create": create_volume,
    "volume clone": clone_volume,
    "volume quota": set_quota,
}
"""What can be done at any time."""

OFFLINE: dict[str, Command] = {
    "snapshot to restore": snapshot_to_restore,
    "snapshot restore": restore_volume,
    "volume delete": delete_volume,
}
"""What can only be done while nobody serves the pool."""


def snapshot_as_json(snapshot: Snapshot) -> dict[str, Any]:
    """What `odxfs snapshot list --json` says of one."""
    return {
        "name": snapshot.name,
        "created_ns": snapshot.created_ns,
        "inodes": snapshot.inodes,
        "allocated_bytes": snapshot.allocated_blocks * BLOCK_BYTES,
    }


def volume_as_json(record: VolumeRecord) -> dict[str, Any]:
    """What `odxfs volume list --json` says of one."""
    return {
        "name": record.name,
        "created_ns": record.created_ns,
        "inodes": record.inodes,
        "allocated_bytes": record.allocated_blocks * BLOCK_BYTES,
        "quota_bytes": record.quota_blocks * BLOCK_BYTES or None,
    }


async def run_command(command: Command, pool: Pool, arguments: Arguments) -> dict[str, Any]:
    """Run a command of a pool that is open. Raises UserError for whatever the volume refuses."""
    try:
        return await command(pool, arguments)
    except VolumeError as error:
        code = _EXIT_CODES.get(type(error), ExitCode.CORRUPT)
        raise UserError(str(error), code) from error


def control_commands(pool: Callable[[], Pool | None]) -> dict[str, Callable[[Arguments], Awaitable[Any]]]:
    """The commands as the control socket of a process wants them that serves the pool."""

    def of(command: Command) -> Callable[[Arguments], Awaitable[Any]]:
        async def answer(arguments: Arguments) -> dict[str, Any]:
            served = pool()
            if served is None:
                raise UserError("the pool is being opened", ExitCode.BUSY)
            return await run_command(command, served, arguments)

        return answer

    async def refuse(_: Arguments) -> dict[str, Any]:
        raise UserError(
            "this cannot be done while the pool is served: 'odxfs umount' it first", ExitCode.BUSY
        )

    return {name: of(command) for name, command in COMMANDS.items()} | dict.fromkeys(OFFLINE, refuse)


async def administer(directory: Path, name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Have a command done: by the process that serves the pool, or here. Blocks while another process does it.

    Raises UserError, Unanswered for what may or may not have been done.
    """
    try:
        return ask(directory, name, values, timeout=None)
    except Unanswered:
        raise
    except NotServed:
        pass
    given = Arguments({key: value for key, value in values.items() if value is not None})
    async with open_pool(directory, owner=f"odxfs {name}") as pool:
        result = await run_command((COMMANDS | OFFLINE)[name], pool, given)
        await pool.settle()
    return result
