"""A row's code is what its decoder imports, it decodes from that alone, and the ledger adds up."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import codec
from fairway import unbundle
from fairway.bundle import bundle, name_in_bundle
from fairway.closure import STAGES, canonical_source, import_closure
from fairway.codec.ledger import decoder, decoder_files, row_ledger
from fairway.counting.memories import pack_memory
from fairway.stage import StageError, sha256_of
from support.configs import read_default
from support.tiny_rows import ROWS, memory_of, write_tokenizer

TEXT = b"Return the sum of the array elements.\0Return the mean of the array elements.\n"


def names(network: bool, decodable: bool = True) -> set[str]:
    return set(map(name_in_bundle, decoder_files(network, decodable)))


def of_row(name: str, decodable: bool = True) -> tuple[bytes, list[Path]]:
    return decoder(ROWS[name] | {"decodable": decodable})


def test_code_is_what_the_decoder_imports():
    assert names(False) < names(True) and "codec.py" in names(False)
    network = {"fairway/codec/neural.py", "fairway/model/network.py"}
    assert network <= names(True) and not network & names(False)
    assert not any(name.startswith(("fairway/training", "fairway/audit")) for name in names(True))
    scoring = names(True, decodable=False)
    assert {"score_targets.py", "fairway/counting/hashed.py"} <= scoring
    assert "codec.py" not in scoring


def test_without_a_network_nothing_of_it_imports_torch():
    for file in decoder_files(network=False, decodable=True):
        source = canonical_source(file)
        assert "import torch" not in source and "from torch" not in source, file


@pytest.mark.parametrize("decodable", [True, False])
def test_a_change_of_code_that_is_packed_packs_again(decodable: bool):
    """By the code hash in the stage's spec, which is over what the stage imports."""
    packed = decoder_files(True, decodable)
    assert set(packed) <= set(import_closure(STAGES / "pack_row.py"))


def test_a_rows_code_fits_into_the_room_that_pack_artifact_leaves():
    (model,) = read_default()["models"].values()
    largest = bundle(decoder_files(True, decodable=False), None, {})
    assert len(of_row("bayes")[0]) < len(largest) < model["packing"]["room_bytes"]


def test_a_file_is_decoded_from_the_bundle_alone(tmp_path: Path):
    """A row without a network; the proofs of a whole run are decoded from bundles of others."""
    tokenizer = write_tokenizer(tmp_path / "tokenizer.model")
    settings, memory = ROWS["memory_only"], memory_of(ROWS["memory_only"])
    packed = pack_memory(memory.tokens, settings["vocabulary"], sha256_of(tokenizer), "lzma")
    (tmp_path / "memory.bin").write_bytes(packed)
    flags = ["--memory", tmp_path / "memory.bin", "--tokenizer", tokenizer]
    encoder = codec.load_codec(None, tmp_path / "memory.bin", tokenizer, settings)
    (tmp_path / "text.fwtx").write_bytes(codec.compress(encoder, encoder.text.encode(TEXT)))
    content, files = of_row("memory_only")
    (tmp_path / "row.py").write_bytes(content)
    paths = tmp_path / "text.fwtx", tmp_path / "text"
    command = [sys.executable, "-I", tmp_path / "row.py", "decompress", *flags, *paths]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "text").read_bytes() == TEXT
    name = re.search(rb"code-[0-9a-f]{16}", content)[0].decode()
    code = unbundle.cache_folder() / name
    unpacked = {str(path.relative_to(code)) for path in code.rglob("*.py")}
    assert unpacked == set(map(name_in_bundle, files))


def test_a_ledger_adds_up(tmp_path: Path):
    (content, files), memory = of_row("memory_only"), tmp_path / "memory.bin"
    memory.write_bytes(b"m" * 700)
    artifacts = {"1": tmp_path / "a1", "2": tmp_path / "a2"}
    for size, path in zip((3000, 5000), artifacts.values(), strict=True):
        path.write_bytes(b"a" * size)
    ledger = row_ledger(content, files, artifacts, memory, 10**6)
    sums = [of_seed["total_bytes"] for of_seed in ledger["seeds"].values()]
    assert sums == [len(content) + 700 + size for size in (3000, 5000)]
    assert ledger["total_bytes"] == max(sums) == 10**6 - ledger["headroom_bytes"]
    assert ledger["memory_sha256"] == sha256_of(memory)
    assert ledger["source_bytes"] > sum(ledger["files"].values()) > 3 * len(content)
    alone = row_ledger(content, files, {"0": None}, None, 100)
    assert alone["total_bytes"] == len(content) and alone["headroom_bytes"] < 0
    with pytest.raises(StageError, match="no such file"):
        row_ledger(content, files, {"0": tmp_path / "absent"}, None, 100)
