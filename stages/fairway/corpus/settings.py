"""The `corpus` section as stages are given it: without the keys of other kinds."""

from typing import Annotated, Literal, NotRequired, TypedDict

from fairway.files.records import Within
from fairway.files.spec import Count, Fraction, Vocabulary

Text = Annotated[str, Within(1)]
Patterns = Annotated[list[Text], Within(1)]


class DownloadSource(TypedDict):
    """Which dataset a corpus is from."""

    repository: Text
    revision: Text


class Download(DownloadSource):
    """The `download` section: which of a dataset's files, and where to."""

    root: str
    folder: Text
    train_shards: Count
    sha256: dict[str, str]


class FetchSettings(TypedDict):
    """What fetch_corpus depends on."""

    vocabulary: Vocabulary
    download: Download | None


class CorpusSettings(TypedDict):
    """What train_tokenizer and encode_corpus depend on; config.yaml says what the keys mean.

    versions: of the installed packages that docstrings are from.
    """

    kind: Literal["docstrings", "text", "shards"]
    vocabulary: Vocabulary
    minimum_documents: Count
    tokenizer: NotRequired[str | None]
    val_fraction: NotRequired[Fraction]
    encoding: NotRequired[Literal["exact", "plain"]]
    packages: NotRequired[Patterns]
    versions: NotRequired[dict[str, str]]
    paths: NotRequired[Patterns]
    document_separator: NotRequired[Text]
    train_shards: NotRequired[Patterns]
    val_shards: NotRequired[Patterns]
    val_documents: NotRequired[Text | None]
    download: NotRequired[DownloadSource | None]
