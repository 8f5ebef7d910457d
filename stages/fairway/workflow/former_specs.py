"""Spec files that nothing needs any more, and their removal.

Those of the jobs of a run go when it has ended, since stages' own commands name theirs as
results/specs/STAGE/KEY.*.json; all others before the next run begins, when none is waited for.
"""

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from fairway.provenance import recorded_specs
from fairway.stage import sha256_of
from fairway.workflow.jobs import FOLDER


def remove_unused(paths: Iterable[Path], needed: Collection[str]) -> None:
    """Remove those of these specs that are not among the needed, nor of outputs that are there."""
    used = recorded_specs(Path(FOLDER))
    for path in list(paths):
        if str(path) not in needed and sha256_of(path) not in used:
            path.unlink()


def namesakes(specs: Iterable[str]) -> Iterator[Path]:
    """All specs that are there of the stages and keys that these paths are of."""
    for name in {Path(path.rsplit(".", 2)[0]) for path in specs}:
        yield from name.parent.glob(f"{name.name}.*.json")
