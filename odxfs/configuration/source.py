"""Where the configuration of a process comes from, now and at each reload."""

from dataclasses import dataclass, replace
from pathlib import Path

from odxfs.configuration.model import DEFAULT_SVM, Configuration, SvmConfiguration
from odxfs.configuration.reading import complete, read_configuration
from odxfs.errors import ExitCode, UserError
from odxfs.smb.shares import ShareStore


@dataclass(frozen=True, slots=True)
class ConfigurationSource:
    """`file` is read where it exists; else `command_line` is the configuration. `mounts` override the file's, if given.

    `default_svm` is what the command line makes of the default SVM, for when a mount gets its first share.
    """

    file: Path
    command_line: Configuration | None = None
    mounts: dict[str, Path] | None = None
    default_svm: SvmConfiguration | None = None

    def read(self) -> Configuration:
        """The configuration as it is now, with real paths. Raises ConfigurationError, UserError.

        Looks at the mount points, so a process that serves one of them calls this in a thread.
        """
        if self.command_line is not None and not self.file.exists():
            return with_real_paths(complete(self.command_line, self.file))
        configuration = read_configuration(self.file)
        if self.mounts is not None:
            configuration = replace(configuration, mounts=self.mounts)
        return with_default_svm(with_real_paths(configuration))

    def read_again(self) -> Configuration:
        """The configuration for a reload. Raises ConfigurationError; UserError(CONFIG) also when its file is gone."""
        if self.file.exists():
            return self.read()
        if self.command_line is None:
            raise UserError(f"there is no {self.file}: nothing to reload", ExitCode.CONFIG)
        return with_default_svm(self.read(), self.default_svm)


def with_real_paths(configuration: Configuration) -> Configuration:
    """Paths without links, so that one place has one name. Raises UserError(CONFIG) for links that lead to themselves."""
    mounts = {volume: _real(path) for volume, path in configuration.mounts.items()}
    return replace(configuration, pool=_real(configuration.pool), mounts=mounts)


def _real(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError) as error:  # what a loop of links raises depends on Python's version
        raise UserError(f"{path} leads nowhere: a link in it leads to itself", ExitCode.CONFIG) from error


def with_default_svm(configuration: Configuration, default: SvmConfiguration | None = None) -> Configuration:
    """With the default SVM (as `default`) if none is named; a mount without shares does without, so that it needs no port."""
    if configuration.svm:
        return configuration
    if configuration.mounts and not ShareStore(configuration.pool).list():
        return configuration
    return complete(
        replace(configuration, svm={DEFAULT_SVM: default or SvmConfiguration()}), configuration.pool / "-"
    )
