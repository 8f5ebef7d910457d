"""Files of a public Hugging Face dataset: fetched resumably, checked by size and hash.

A file is written beside its place under a name that begins with a dot and carries its hash, and
renamed when it is whole and right. An interrupted one is gone on with where it ended, to within
huggingface_hub's pieces of 10 MB.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import HfApi, hf_hub_url
from huggingface_hub.errors import (
    FileMetadataError,
    HTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import http_get
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils import disable_progress_bars

from fairway.stage import StageError, atomic_output, naming_on_full_disk

_NETWORK = (HTTPError, OfflineModeIsEnabled, FileMetadataError)
_AS_IT_IS = {"Accept-Encoding": "identity"}  # a range of a compressed answer would be useless
_PIECE = 1 << 24  # bytes hashed at a time


@dataclass(frozen=True)
class HubFile:
    """A file of a dataset: its path there, its size in bytes, and a hash of its content.

    sha256 is what the hub has for large files; small ones it knows by their git blob id, a SHA-1
    over a header and the content.
    """

    path: str
    size: int
    sha256: str | None
    blob_id: str

    @property
    def known_hash(self) -> str:
        """The stronger of the hashes that the hub has."""
        return self.sha256 or self.blob_id

    def fault(self, file: Path) -> str | None:
        """What is wrong with a local copy: size or hash; None if it is this file."""
        size = file.stat().st_size
        if size != self.size:
            return f"{size} bytes; the dataset has {self.size}"
        found = _hash(file, self)
        if found != self.known_hash:
            return f"hash {found[:16]}…; the dataset has {self.known_hash[:16]}…"
        return None


def _hash(file: Path, like: HubFile) -> str:
    digest = hashlib.sha256() if like.sha256 else hashlib.sha1(b"blob %d\0" % like.size)
    with file.open("rb") as content:
        while piece := content.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


def _reason(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


class HubDataset:
    """One revision of a public dataset repository; no credentials are used.

    repository: owner/name; revision: branch, tag or commit; endpoint: the hub's address, None for
    the usual one. Raises StageError in one line without network, or if there is no such dataset.
    """

    def __init__(self, repository: str, revision: str, endpoint: str | None = None) -> None:
        self.repository, self.revision = repository, revision
        self.api = HfApi(endpoint=endpoint, token=False)
        disable_progress_bars()
        try:
            self.commit = self.api.dataset_info(repository, revision=revision).sha
        except RevisionNotFoundError:
            raise StageError(
                f"corpus.download.revision: {revision!r} is not one of dataset {repository}"
            ) from None
        except RepositoryNotFoundError:
            raise StageError(
                f"corpus.download.repository: {repository!r} is not a public dataset on "
                f"{self.api.endpoint}"
            ) from None
        except _NETWORK as error:
            raise self._unreachable(error) from None

    def _unreachable(self, error: Exception) -> StageError:
        return StageError(
            f"corpus.download: {self.api.endpoint} did not answer ({_reason(error)}); "
            "connect and run again, or set corpus.download to null and place the files yourself"
        )

    def describe(self, paths: Sequence[str]) -> list[HubFile]:
        """Size and hash of each file, in the order given.

        Raises StageError naming the first that the dataset does not have.
        """
        try:
            found = self.api.get_paths_info(
                self.repository, list(paths), revision=self.commit, repo_type="dataset"
            )
        except _NETWORK as error:
            raise self._unreachable(error) from None
        files = {
            entry.path: HubFile(
                entry.path, entry.size, entry.lfs.sha256 if entry.lfs else None, entry.blob_id
            )
            for entry in found
            if isinstance(entry, RepoFile)
        }
        for path in paths:
            if path not in files:
                raise StageError(
                    f"corpus.download: {path} is not in dataset {self.repository} at "
                    f"{self.revision} ({self.commit[:12]})"
                )
        return [files[path] for path in paths]

    def fetch(self, file: HubFile, destination: Path) -> None:
        """Make `destination` this file; one that is there already is only checked.

        Raises StageError if what is there is another file (it is left alone), if the connection
        ends or the disk is full (what has come is kept for the next time), or if what came is not
        what was promised.
        """
        if destination.exists():
            if fault := file.fault(destination):
                raise StageError(f"{destination}: {fault}; delete it to download it again")
            return
        destination.parent.mkdir(parents=True, exist_ok=True)
        partial = destination.with_name(f".{destination.name}.{file.known_hash[:16]}.part")
        with naming_on_full_disk(destination):
            self._continue(file, partial)
        if fault := file.fault(partial):
            partial.unlink()
            raise StageError(f"{destination}: download has {fault}; deleted, run again")
        with atomic_output(destination) as temporary:
            partial.replace(temporary)

    def _continue(self, file: HubFile, partial: Path) -> None:
        """Append to `partial` what it lacks."""
        url = hf_hub_url(
            self.repository,
            file.path,
            repo_type="dataset",
            revision=self.commit,
            endpoint=self.api.endpoint,
        )
        with partial.open("ab") as output:
            start = output.tell()
            if start > file.size:
                start = output.truncate(0)
            try:
                http_get(url, output, resume_size=start, headers=_AS_IT_IS)
            except _NETWORK as error:
                output.flush()
                raise StageError(
                    f"{file.path}: the connection ended after {partial.stat().st_size:,} of "
                    f"{file.size:,} bytes ({_reason(error)}); run again to go on from there"
                ) from None
