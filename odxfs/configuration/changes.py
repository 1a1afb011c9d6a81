"""What a reload would change, and what of it cannot be done while the server runs."""

from dataclasses import dataclass

from odxfs.configuration.model import Configuration
from odxfs.errors import ExitCode, UserError


@dataclass(frozen=True, slots=True)
class Changes:
    """Names of SVMs: which begin to be served, which end, and whose settings differ; whether the bounds of tokens do that no
    SVM has set."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]
    has_other_bounds: bool = False

    def sentences(self) -> list[str]:
        """For people, one an SVM, and one for what is no SVM's."""
        return [
            *(f"SVM {name} is served" for name in self.added),
            *(f"SVM {name} is served no more" for name in self.removed),
            *(f"SVM {name} has new settings" for name in self.changed),
            *(["the tokens of the pool and of mounts have new bounds"] if self.has_other_bounds else []),
        ]


def find_changes(old: Configuration, new: Configuration) -> Changes:
    """The difference. Raises UserError(CONFIG) when it holds anything that needs a restart."""
    _require_same_frame(old, new)
    added = tuple(name for name in new.svm if name not in old.svm)
    removed = tuple(name for name in old.svm if name not in new.svm)
    _require_free_addresses(old, new, added)
    changed = tuple(name for name in new.svm if name in old.svm and new.svm[name] != old.svm[name])
    has_other_bounds = (new.tokens, new.token_space) != (old.tokens, old.token_space)
    return Changes(added, removed, changed, has_other_bounds)


def _require_same_frame(old: Configuration, new: Configuration) -> None:
    if new.pool != old.pool:
        raise _needs_restart(f"the pool's directory is {old.pool}, not {new.pool}")
    if new.mounts != old.mounts:
        raise _needs_restart("the mounts differ")
    for name, svm in new.svm.items():
        if name in old.svm and svm.listen != old.svm[name].listen:
            there, wanted = (" and ".join(map(str, each.listen)) for each in (old.svm[name], svm))
            raise _needs_restart(f"SVM {name} listens on {there}, not on {wanted}")


def _require_free_addresses(old: Configuration, new: Configuration, added: tuple[str, ...]) -> None:
    """An address passes from one SVM to another in two steps: the first gives it up only once all else has succeeded."""
    for name in added:
        for other, svm in old.svm.items():
            for endpoint in new.svm[name].listen:
                if any(endpoint.collides(taken) for taken in svm.listen):
                    raise UserError(
                        f"SVM {name} cannot listen on {endpoint} while SVM {other} does: "
                        f"reload without {other} first, then with {name}",
                        ExitCode.CONFIG,
                    )


def _needs_restart(what: str) -> UserError:
    return UserError(f"this cannot be changed without a restart: {what}", ExitCode.CONFIG)
