"""The corpus stages from documents to manifest, and the manifest as other stages read it."""

import json
import resource
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fairway.corpus.byte_accounting import ByteTable
from fairway.corpus.documents import split
from fairway.corpus.manifest import Manifest, ValText
from fairway.corpus.shards import read_shard, write_shard
from fairway.corpus.tokenizer import encode_documents
from fairway.json_text import sealed
from fairway.stage import StageError, sha256_of
from support.corpus_samples import (
    ENCODE_FLAGS,
    VOCABULARY,
    as_tokenizer,
    assert_hashes,
    assert_refused,
    make_corpus,
    run_stage,
    sample_model,
    sample_texts,
    tokenizer_of,
    write_jsonl,
)

TEXTS = sample_texts(200)
SETTINGS = {
    "val_fraction": 0.2,
    "minimum_documents": 100,
    "vocabulary": VOCABULARY,
    "encoding": "exact",
}
TEXT = {**SETTINGS, "kind": "text", "paths": ["texts.jsonl"], "tokenizer": None}
ENCODE_TEXT = (*ENCODE_FLAGS, "--train=out/train.bin")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of kind text, made by the stages; not to be changed."""
    folder = tmp_path_factory.mktemp("finished")
    write_jsonl(folder / "texts.jsonl", TEXTS)
    done = make_corpus(folder, TEXT, *ENCODE_TEXT)
    assert done.returncode == 0, done.stderr
    return folder / "out"


@pytest.fixture
def corpus(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished corpus."""
    return Path(shutil.copytree(finished, tmp_path / "out"))


def documents_of(path: Path) -> list[list[int]]:
    tokens = read_shard(path)
    return [part.tolist() for part in np.split(tokens, np.flatnonzero(tokens == 1)[1:])]


def test_outputs_are_complete(finished: Path) -> None:
    names = ["manifest.json", "tokenizer.model", "train.bin"]
    names += ["val.bin", "val_bytes.npy", "val_text.bin"]
    assert sorted(path.name for path in finished.iterdir()) == names


def test_documents_are_whole_and_on_one_side(finished: Path) -> None:
    train, val = split(TEXTS, 0.2)
    tokenizer = as_tokenizer((finished / "tokenizer.model").read_bytes())
    for name, texts in (("train.bin", train), ("val.bin", val)):
        assert tokenizer.decode(documents_of(finished / name)) == texts


def test_manifest_describes_the_files(finished: Path) -> None:
    manifest = Manifest.load(finished / "manifest.json")
    train, val = split(TEXTS, 0.2)
    assert (manifest.kind, manifest.vocabulary) == ("text", VOCABULARY)
    assert manifest.spec == sha256_of(finished.parent / "spec.json")
    assert manifest.tokenizer.sha256 == sha256_of(finished / "tokenizer.model")
    assert (manifest.train.documents, manifest.val.documents) == (len(train), len(val))
    assert manifest.train_shards() == [finished / "train.bin"]
    assert manifest.train.tokens == len(read_shard(finished / "train.bin"))
    assert manifest.val_path == finished / "val.bin"
    tokens = manifest.read_val(finished / "val.bin")
    assert manifest.val.targets == manifest.val.tokens - 1 == len(tokens) - 1
    size = sum(len(text.encode()) for text in val)
    assert manifest.val.bytes == manifest.val.original_bytes == size
    assert manifest.val.text == "original"
    assert manifest.read_val_text(finished / "val_text.bin") == "\0".join(val).encode()
    values = manifest.read_val_bytes(finished / "val_bytes.npy")
    assert int(values.sum()) == size
    assert manifest.overlap.duplicates == 0 and manifest.overlap.runs > 1000
    assert_hashes(manifest)


def test_bytes_of_a_target_are_at_its_index_less_one(finished: Path) -> None:
    tokens = documents_of(finished / "val.bin")[0]
    values = np.load(finished / "val_bytes.npy")[: len(tokens) - 1]
    tokenizer = as_tokenizer((finished / "tokenizer.model").read_bytes())
    for last in range(2, len(tokens)):
        if not tokenizer.is_byte(tokens[last - 1]):  # a cut character has no text
            text = tokenizer.decode(tokens[:last], return_type=bytes)
            assert int(values[: last - 1].sum()) == len(text)


def test_tokenizer_never_saw_validation_text(tmp_path: Path, finished: Path) -> None:
    train, _ = split(TEXTS, 0.2)
    _, others = split([text.upper() for text in TEXTS], 0.2)
    write_jsonl(tmp_path / "texts.jsonl", [*train, *others])
    done = run_stage("train_tokenizer", tmp_path, TEXT, "--tokenizer=out/tokenizer.model")
    assert done.returncode == 0, done.stderr
    assert sha256_of(tmp_path / "out/tokenizer.model") == sha256_of(finished / "tokenizer.model")


def test_outputs_are_the_same_bytes_again(tmp_path: Path, finished: Path) -> None:
    write_jsonl(tmp_path / "texts.jsonl", TEXTS[::-1])
    assert make_corpus(tmp_path, TEXT, *ENCODE_TEXT).returncode == 0
    for path in finished.iterdir():
        assert (tmp_path / "out" / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("length", "ranks", "message"),
    [
        (100_000, 1, "targets; expected at least one window (windows.length) of 100000"),
        (6000, 64, "ranks: 64; the validation text has only "),
        (3000, 2, None),
    ],
)
def test_text_that_the_windows_do_not_fit_is_refused(
    tmp_path: Path, finished: Path, length: int, ranks: int, message: str | None
) -> None:
    write_jsonl(tmp_path / "texts.jsonl", TEXTS)
    settings = {"windows": {"length": length, "stride": 64}, "ranks": ranks, "claims": ["a"]}
    (tmp_path / "windows.json").write_text(json.dumps({"settings": settings}))
    done = make_corpus(tmp_path, TEXT, *ENCODE_TEXT, "--windows=windows.json")
    if message:
        assert_refused(done, message)
        assert not (tmp_path / "out/manifest.json").exists()
    else:
        assert done.returncode == 0, done.stderr
        for path in finished.iterdir():
            same = (tmp_path / "out" / path.name).read_bytes() == path.read_bytes()
            assert same, "models are not trained anew for other windows"


def test_given_tokenizer_is_used_as_it_is(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "texts.jsonl", TEXTS)
    (tmp_path / "mine.model").write_bytes(sample_model(2))
    done = make_corpus(tmp_path, {**TEXT, "tokenizer": "mine.model"}, *ENCODE_TEXT)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out/tokenizer.model").read_bytes() == sample_model(2)


def test_docstrings_corpus(tmp_path: Path) -> None:
    settings = {**SETTINGS, "kind": "docstrings", "packages": ["email", "json"]}
    done = make_corpus(tmp_path, settings, *ENCODE_TEXT)
    assert done.returncode == 0, done.stderr
    manifest = Manifest.load(tmp_path / "out/manifest.json")
    assert manifest.val.text == "original"
    assert_hashes(manifest)


def write_shards(folder: Path, seed: int = 1, count: int = 150) -> dict[str, Any]:
    """Two training shards, one validation shard cut in two, its texts, the tokenizer."""
    (folder / "given").mkdir(parents=True)
    (folder / "given/t.model").write_bytes(sample_model(seed))
    documents = encode_documents(as_tokenizer(sample_model(seed)), TEXTS[:count])
    train, val = np.concatenate(documents[50:]), np.concatenate(documents[:50])
    for index, part in enumerate(np.split(train, [len(train) // 3])):
        write_shard(folder / f"given/train_{index}.bin", part)
    for index, part in enumerate(np.split(val, [len(val) // 2])):
        write_shard(folder / f"given/val_{index}.bin", part)
    write_jsonl(folder / "given/val.jsonl", TEXTS[:50])
    write_jsonl(folder / "given/part_0.jsonl", TEXTS[:20])
    write_jsonl(folder / "given/part_1.jsonl", TEXTS[20:50])
    return {
        **SETTINGS,
        "kind": "shards",
        "train_shards": ["given/train_*.bin"],
        "val_shards": ["given/val_0.bin", "given/val_1.bin"],
        "tokenizer": "given/t.model",
    }


@pytest.mark.parametrize("texts", [None, "given/val.jsonl", "given/part_*.jsonl"])
def test_given_shards(tmp_path: Path, texts: str | None) -> None:
    settings = {**write_shards(tmp_path), "val_documents": texts}
    done = make_corpus(tmp_path, settings, *ENCODE_FLAGS)
    assert done.returncode == 0, done.stderr
    manifest = Manifest.load(tmp_path / "out/manifest.json")
    size = sum(len(text.encode()) for text in TEXTS[:50])
    assert manifest.train_shards() == [tmp_path / f"given/train_{i}.bin" for i in range(2)]
    assert (manifest.train.documents, manifest.val.documents) == (100, 50)
    assert manifest.val.bytes == size
    assert (tmp_path / "out/val_text.bin").read_bytes() == "\0".join(TEXTS[:50]).encode()
    assert manifest.val.original_bytes == (size if texts else None)
    assert manifest.val.text == ("original" if texts else "decoded")
    assert not (tmp_path / "out/train.bin").exists()
    assert_hashes(manifest)


def test_a_copy_of_a_training_document_is_named(tmp_path: Path) -> None:
    settings = write_shards(tmp_path)
    val = [read_shard(tmp_path / f"given/val_{i}.bin") for i in range(2)]
    second = encode_documents(as_tokenizer(sample_model(1)), TEXTS[1:2])[0]
    write_shard(tmp_path / "given/train_2.bin", second)
    done = make_corpus(tmp_path, settings, *ENCODE_FLAGS)
    assert done.returncode == 0, done.stderr
    assert "val: document 1 is a training document as well" in done.stderr
    overlap = Manifest.load(tmp_path / "out/manifest.json").overlap
    assert (overlap.duplicates, overlap.duplicate_documents) == (1, (1,))
    assert 0 < overlap.runs_in_training < overlap.runs < sum(map(len, val))


def test_shard_named_twice_is_read_once(tmp_path: Path) -> None:
    settings = write_shards(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "given")
    settings["val_shards"] += ["link/val_1.bin", "given/../given/val_*.bin"]
    settings["train_shards"] += [str(tmp_path / "given/train_1.bin")]
    done = make_corpus(tmp_path, settings, *ENCODE_FLAGS)
    assert done.returncode == 0, done.stderr
    manifest = Manifest.load(tmp_path / "out/manifest.json")
    assert manifest.val.bytes == sum(len(text.encode()) for text in TEXTS[:50])
    assert (manifest.train.documents, len(manifest.train.shards)) == (100, 2)


# What tokenizers change: U+2581 is their space, capitals are folded, spaces are dropped.
CHANGED = [f"▁{text}  X▁▅ {text[::-1]}" for text in TEXTS]


@pytest.mark.parametrize("kind", ["lossless", "folding"])
@pytest.mark.parametrize("encoding", ["exact", "plain"])
def test_what_a_tokenizer_changes(tmp_path: Path, kind: str, encoding: str) -> None:
    write_jsonl(tmp_path / "texts.jsonl", CHANGED)
    (tmp_path / "given.model").write_bytes(tokenizer_of(kind).serialized_model_proto())
    settings = {**TEXT, "tokenizer": "given.model", "encoding": encoding}
    done = make_corpus(tmp_path, settings, *ENCODE_TEXT)
    assert done.returncode == 0, done.stderr
    val = Manifest.load(tmp_path / "out/manifest.json").val
    original = "\0".join(split(CHANGED, 0.2)[1]).encode()
    decoded = (tmp_path / "out/val_text.bin").read_bytes()
    assert val.original_bytes == len(original) - original.count(b"\0")
    assert val.bytes == len(decoded) - decoded.count(b"\0")
    assert (decoded == original) == (encoding == "exact") == (val.text == "original")
    assert ("do not give back the original" in done.stderr) == (encoding == "plain")
    again = as_shards(tmp_path, settings)
    assert (again.bytes, again.original_bytes, again.text_sha256) == (
        val.bytes,
        val.original_bytes,
        val.text_sha256,
    )
    claim = {"windows": {"length": 64, "stride": 64}, "ranks": 1, "claims": ["neural"]}
    (tmp_path / "windows.json").write_text(json.dumps({"settings": claim}))
    done = make_corpus(tmp_path, settings, *ENCODE_TEXT, "--windows=windows.json")
    if encoding == "plain":
        assert_refused(done, f"{val.bytes:,} bytes that are not the {val.original_bytes:,} of")
    else:
        assert done.returncode == 0, done.stderr


def as_shards(folder: Path, settings: dict[str, Any]) -> ValText:
    """The validation side of the corpus in `folder`, given as shards with its documents."""
    (folder / "again").mkdir()
    write_jsonl(folder / "again/val.jsonl", split(CHANGED, 0.2)[1])
    given = {"train_shards": ["../out/train.bin"], "val_shards": ["../out/val.bin"]}
    given |= {"tokenizer": "../given.model", "val_documents": "val.jsonl", "kind": "shards"}
    done = make_corpus(folder / "again", settings | given, *ENCODE_FLAGS)
    assert done.returncode == 0, done.stderr
    return Manifest.load(folder / "again/out/manifest.json").val


def cut(folder: Path, settings: dict[str, Any]) -> None:
    path = folder / "given/val_1.bin"
    path.write_bytes(path.read_bytes()[:-3])


def empty(folder: Path, settings: dict[str, Any]) -> None:
    (folder / "given/val_1.bin").write_bytes(b"")


def wrong_magic(folder: Path, settings: dict[str, Any]) -> None:
    path = folder / "given/train_1.bin"
    path.write_bytes(b"\0" + path.read_bytes()[1:])


def token_out_of_range(folder: Path, settings: dict[str, Any]) -> None:
    path = folder / "given/train_1.bin"
    path.write_bytes(path.read_bytes()[:-2] + VOCABULARY.to_bytes(2, "little"))


def other_tokenizer(folder: Path, settings: dict[str, Any]) -> None:
    (folder / "given/t.model").write_bytes(sample_model(2))


def other_vocabulary(folder: Path, settings: dict[str, Any]) -> None:
    settings["vocabulary"] = 1024


def no_first_bos(folder: Path, settings: dict[str, Any]) -> None:
    settings["val_shards"] = ["given/val_1.bin"]


def missing_shard(folder: Path, settings: dict[str, Any]) -> None:
    settings["val_shards"].append("given/val_2.bin")


def both_sides(folder: Path, settings: dict[str, Any]) -> None:
    settings["train_shards"].append("given/../given/val_0.bin")


def hard_link(folder: Path, settings: dict[str, Any]) -> None:
    (folder / "given/train_linked.bin").hardlink_to(folder / "given/val_1.bin")


def copied(folder: Path, settings: dict[str, Any]) -> None:
    shutil.copy(folder / "given/val_1.bin", folder / "given/train_copied.bin")


def no_tokenizer(folder: Path, settings: dict[str, Any]) -> None:
    settings["tokenizer"] = None


def too_few(folder: Path, settings: dict[str, Any]) -> None:
    settings["minimum_documents"] = 151


def missing_text(folder: Path, settings: dict[str, Any]) -> None:
    write_jsonl(folder / "given/val.jsonl", TEXTS[:49])
    settings["val_documents"] = "given/val.jsonl"


def other_text(folder: Path, settings: dict[str, Any]) -> None:
    write_jsonl(folder / "given/val.jsonl", [*TEXTS[:30], "other", *TEXTS[31:50]])
    settings["val_documents"] = "given/val.jsonl"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut, "given/val_1.bin: .* tokens need .* (truncated?)"),
        (empty, "given/val_1.bin: 0 bytes; a token shard has a header of 1024"),
        (wrong_magic, "given/train_1.bin: magic 20240384; a token shard has 20240520"),
        (token_out_of_range, f"given/train_1.bin: token id {VOCABULARY} at position"),
        (other_tokenizer, "given/val_0.bin: 0 of 2"),
        (other_vocabulary, "given/t.model: 512 pieces; expected corpus.vocabulary, 1024"),
        (no_first_bos, "given/val_1.bin: begins with token"),
        (missing_shard, "corpus.val_shards: given/val_2.bin: no such file"),
        (both_sides, "given/val_0.bin: in corpus.train_shards and corpus.val_shards both"),
        (hard_link, "given/val_1.bin: in corpus.train_shards and corpus.val_shards both"),
        (copied, "given/val_1.bin: in .* both, as given/train_copied.bin"),
        (no_tokenizer, "corpus.tokenizer: missing; corpus.kind shards needs it"),
        (too_few, "corpus: 150 documents; expected at least 151 (corpus.minimum_documents"),
        (missing_text, "given/val.jsonl: 49 documents; corpus.val_shards have 50"),
        (other_text, "given/val.jsonl: document 30 does not encode to its tokens"),
    ],
)
def test_given_shards_are_checked(tmp_path: Path, damage: Any, message: str) -> None:
    settings = write_shards(tmp_path)
    damage(tmp_path, settings)
    assert_refused(make_corpus(tmp_path, settings, *ENCODE_FLAGS), *message.split(".*"))
    assert not [path for path in tmp_path.rglob("out/*") if path.name != "tokenizer.model"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"minimum_documents": 201}, "corpus: 200 documents; expected at least 201"),
        ({"val_fraction": 1e-9}, "corpus.val_fraction: 1e-09 of 200 documents leaves 200"),
        ({"paths": ["nothing.txt"]}, "corpus.paths: nothing.txt: no such file"),
        ({"paths": []}, "paths: []; expected a length of at least 1"),
        ({"vocabulary": 9999}, "corpus.vocabulary: 9999 pieces cannot be trained"),
        ({"tokenizer": "nothing.model"}, "nothing.model: no such file"),
        (
            {"kind": "docstrings", "packages": ["nothing_there"]},
            "'nothing_there' is not installed",
        ),
    ],
)
def test_bad_settings_are_one_line(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    write_jsonl(tmp_path / "texts.jsonl", TEXTS)
    assert_refused(make_corpus(tmp_path, {**TEXT, **changes}, *ENCODE_TEXT), message)
    assert not list(tmp_path.rglob("out/*"))


def test_train_output_is_needed_for_text(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "texts.jsonl", TEXTS)
    assert_refused(make_corpus(tmp_path, TEXT, *ENCODE_FLAGS), "--train: missing")


@pytest.mark.parametrize(("limit", "file"), [(2_000, "tokenizer.model"), (30_000, "train.bin")])
def test_full_disk_leaves_nothing(tmp_path: Path, limit: int, file: str) -> None:
    write_jsonl(tmp_path / "texts.jsonl", TEXTS)
    name, flags = "train_tokenizer", ["--tokenizer=out/tokenizer.model"]
    if file == "train.bin":
        (tmp_path / "out").mkdir()
        (tmp_path / "out/tokenizer.model").write_bytes(sample_model())
        name, flags = "encode_corpus", list(ENCODE_TEXT)

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    done = run_stage(name, tmp_path, TEXT, *flags, preexec_fn=small_files)
    assert_refused(done, f"out/{file}: cannot write: File too large")
    left = [path.name for path in tmp_path.rglob("out/*")]
    assert left == (["tokenizer.model"] if file == "train.bin" else [])


def test_shards_elsewhere_keep_their_own_path(tmp_path: Path) -> None:
    settings = write_shards(tmp_path)
    assert make_corpus(tmp_path, settings, *ENCODE_FLAGS).returncode == 0
    value = json.loads((tmp_path / "out/manifest.json").read_text())
    assert value["val"]["file"] == "val.bin"
    assert value["train"]["shards"][0]["file"] == str(tmp_path / "given/train_0.bin")


def test_damaged_train_shard_is_seen(corpus: Path) -> None:
    manifest = Manifest.load(corpus / "manifest.json")
    path = corpus / "train.bin"
    content = path.read_bytes()
    path.write_bytes(content[:-2])
    with pytest.raises(StageError, match=r"train\.bin: \d+ bytes; .* tokens need"):
        manifest.train_shards()
    damaged = bytearray(content)
    damaged[-1] ^= 1
    path.write_bytes(damaged)
    for threads in (1, 2):
        with pytest.raises(StageError, match=r"train\.bin: SHA-256 .*; the manifest has "):
            manifest.read_train(threads)
    path.write_bytes(content)
    assert np.array_equal(manifest.read_train(1)[0], read_shard(path))
    path.unlink()
    with pytest.raises(StageError, match=r"train\.bin: no such file"):
        manifest.train_shards()


def test_other_validation_shard_is_seen(corpus: Path) -> None:
    manifest = Manifest.load(corpus / "manifest.json")
    tokens = np.array(read_shard(corpus / "val.bin"))
    write_shard(corpus / "short.bin", tokens[:-1])
    with pytest.raises(StageError, match=r"short\.bin: \d+ tokens; the manifest has"):
        manifest.read_val(corpus / "short.bin")
    write_shard(corpus / "val.bin", tokens[::-1])
    with pytest.raises(StageError, match=r"val\.bin: SHA-256 "):
        manifest.read_val(corpus / "val.bin")
    (corpus / "val.bin").unlink()
    with pytest.raises(StageError, match=r"val\.bin: no such file"):
        _ = manifest.val_path


def test_other_validation_text_is_seen(corpus: Path) -> None:
    path = corpus / "val_text.bin"
    path.write_bytes(path.read_bytes()[::-1])
    with pytest.raises(StageError, match=r"val_text\.bin: SHA-256 "):
        Manifest.load(corpus / "manifest.json").read_val_text(path)


def test_other_bytes_per_target_are_seen(corpus: Path) -> None:
    manifest = Manifest.load(corpus / "manifest.json")
    path = corpus / "val_bytes.npy"
    values = np.load(path)
    np.save(path, values[:-1])
    with pytest.raises(StageError, match=r"val_bytes\.npy is uint16 .*; expected uint16"):
        manifest.read_val_bytes(path)
    values[:2] += np.array([1, -1]).astype(np.uint16)
    np.save(path, values)
    with pytest.raises(StageError, match=r"val_bytes\.npy: SHA-256 .*; the manifest has "):
        manifest.read_val_bytes(path)
    np.save(path, values.astype(np.int64))
    with pytest.raises(StageError, match="int64"):
        manifest.read_val_bytes(path)


@pytest.mark.parametrize("content", ["[]", "{}", '{"spec": 1}', "3"])
def test_file_that_is_no_manifest(tmp_path: Path, content: str) -> None:
    path = tmp_path / "manifest.json"
    path.write_text(sealed(content))
    with pytest.raises(StageError, match=r"manifest\.json: (damaged|not|no `(spec|kind)`)"):
        Manifest.load(path)


def test_manifest_must_add_up(corpus: Path) -> None:
    path = corpus / "manifest.json"
    manifest = Manifest.load(path)
    replace(manifest, train=replace(manifest.train, tokens=1)).save(path)
    with pytest.raises(StageError, match=r"manifest\.json: train\.tokens 1 is not the sum"):
        Manifest.load(path)
    replace(manifest, val=replace(manifest.val, targets=1)).save(path)
    with pytest.raises(StageError, match=r"manifest\.json: 1 val targets; expected"):
        Manifest.load(path)


def test_byte_table_of_a_small_tokenizer() -> None:
    table = ByteTable.of(as_tokenizer(sample_model()))
    assert table.boundary[:4].tolist() == [True] * 4
    assert table.size[:4].tolist() == [0] * 4
    assert table.size[4:260].tolist() == [1] * 256
    assert table.value[4:260].tolist() == list(range(256))
    assert not table.spaced[:260].any()
