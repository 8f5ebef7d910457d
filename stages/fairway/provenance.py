"""What every job's outputs were made from, by content: its provenance, a small JSON file.

A stage writes it last: the hash of its spec, and the SHA-256 of every file that it read and wrote.
So it can be told, whatever the times of files say, whether outputs belong to the present
configuration and to each other: by the Snakefile before a run, by aggregation before it makes a
table and by ./run before it prints one. Must not know what is in the files.
"""

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from fairway.files.records import Natural, build
from fairway.files.spec import Spec
from fairway.stage import StageError, read_json, require_file, sha256_of, write_json

HASHED_BYTES = 16 << 20  # files of more are compared by size, and by content when jobs disagree
SOURCE_BYTES = 1 << 30  # of source files with new times, in all, that are hashed to compare them


@dataclass(frozen=True)
class Wrote:
    """A file as its job left it."""

    sha256: str
    bytes: Natural


@dataclass(frozen=True)
class Source:
    """A file from outside, as it was when it was read; the time in nanoseconds."""

    sha256: str
    bytes: Natural
    mtime_ns: int


@dataclass(frozen=True)
class Provenance:
    """One job: its name, as `name_of` its file, its spec, and the files it read and wrote.

    read: SHA-256 by path. sources: what it read that no job makes, by resolved path. Paths in the
    working directory are relative to it, so that it can be moved.
    """

    job: str
    spec: str
    read: dict[str, str] = field(default_factory=dict)
    sources: dict[str, Source] = field(default_factory=dict)
    wrote: dict[str, Wrote] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> "Provenance":
        """Read and check; raises StageError naming the file."""
        return build(cls, read_json(path), path)


def name_of(path: Path) -> str:
    """A job's name by the path of its provenance: the stage and, if there are any, its keys."""
    path = Path(path)
    return f"{path.parent.name}/{path.stem}"


class Recording:
    """A job's provenance while the job runs. Made before it reads anything, finished last.

    path: where it is written; with None nothing is hashed or written. read: files that other
    jobs made; sources: files that none did.
    """

    def __init__(
        self,
        path: Path | None,
        spec: Spec,
        read: Iterable[Path] = (),
        sources: Iterable[Path] = (),
    ) -> None:
        self.path = path
        if path is None:
            return
        path.unlink(missing_ok=True)  # its outputs are about to be replaced
        self.provenance = Provenance(
            name_of(path),
            spec.sha256,
            {_named(file): sha256_of(file) for file in read},
            {_named(file.resolve()): _source(file) for file in sources},
        )

    def finish(self, *wrote: Path) -> None:
        """Write the provenance of a job that has written these files."""
        if self.path is None:
            return
        for file in wrote:
            self.provenance.wrote[_named(file)] = Wrote(sha256_of(file), file.stat().st_size)
        write_json(self.path, asdict(self.provenance))


def faults(expected: Mapping[str, str]) -> dict[str, str]:
    """A line for every job whose outputs are not the present ones, by path of its provenance.

    expected: SHA-256 of the jobs' specs by path of their provenance. A job is at fault if it was
    not finished, or under another spec or name; if a file is not what it wrote; or if it read
    something else than there is. Files that are gone are no fault.
    """
    found, jobs = {}, {}
    for path, spec in expected.items():
        try:
            jobs[path] = Provenance.load(Path(path))
        except StageError as error:
            found[path] = str(error)
        else:
            _note(found, path, _unexpected(path, jobs[path], spec))
    for path, job in jobs.items():
        for file, entry in job.wrote.items():
            if _is_altered(Path(file), entry):
                _note(found, path, f"{file}: not the file that {job.job} wrote")
    makers = {file: path for path, job in jobs.items() for file in job.wrote}
    for path, job in jobs.items():
        for file, sha256 in job.read.items():
            maker = makers.get(file)
            there = _sha256(Path(file)) if maker is None else jobs[maker].wrote[file].sha256
            if there == sha256:
                continue
            if maker is not None and _sha256(Path(file)) not in (None, there):
                _note(found, maker, f"{file}: not the file that {jobs[maker].job} wrote")
            _note(found, path, f"{file}: {job.job} read another one")
    return {path: found[path] for path in expected if path in found}


def recorded_specs(folder: Path) -> set[str]:
    """Hashes of the specs of all jobs whose provenance lies in a folder."""
    found = set()
    for path in folder.rglob("*.json"):
        with contextlib.suppress(StageError):
            found.add(Provenance.load(path).spec)
    return found


def source_fault(path: str, files: Iterable[Path]) -> str | None:
    """A line if the source files that a job read are not these files as they are now.

    path: of its provenance. A file of the same size and time is taken for the same; with another
    time it is hashed, unless such files are large together.
    """
    try:
        sources = dict(Provenance.load(Path(path)).sources)
    except StageError as error:
        return str(error)
    touched = []
    for file in sorted({_named(file.resolve()) for file in files}):
        source, stat = sources.pop(file, None), Path(file).stat()
        if source is None:
            return f"{file}: was not read"
        if source.bytes != stat.st_size:
            return f"{file}: {stat.st_size} bytes; {source.bytes} were read"
        if source.mtime_ns != stat.st_mtime_ns:
            touched.append((file, source))
    if sources:
        return f"{min(sources)}: was read, and is no source now"
    total = sum(source.bytes for _, source in touched)
    for file, source in touched:
        if total > SOURCE_BYTES or sha256_of(Path(file)) != source.sha256:
            return f"{file}: has changed since it was read"
    return None


def _note(found: dict[str, str], path: str, line: str | None) -> None:
    if line is not None:
        found.setdefault(path, line)


def _unexpected(path: str, job: Provenance, spec: str) -> str | None:
    if job.job != name_of(Path(path)):
        return f"{path}: is of {job.job}; expected {name_of(Path(path))}"
    if job.spec != spec:
        return f"{path}: made under spec {job.spec[:12]}; the current one is {spec[:12]}"
    return None


def _is_altered(file: Path, entry: Wrote) -> bool:
    if not file.is_file():
        return False
    size = file.stat().st_size
    return size != entry.bytes or (size <= HASHED_BYTES and sha256_of(file) != entry.sha256)


def _sha256(file: Path) -> str | None:
    return sha256_of(file) if file.is_file() else None


def _source(file: Path) -> Source:
    stat = require_file(file).stat()
    return Source(sha256_of(file), stat.st_size, stat.st_mtime_ns)


def _named(file: Path) -> str:
    here = Path.cwd()
    file = here / file
    return str(file.relative_to(here) if file.is_relative_to(here) else file)
