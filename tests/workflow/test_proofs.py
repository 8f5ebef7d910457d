"""Decodable rows of the finished run are proven; the codec's commands on files of all kinds."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fairway.files.arrays import save_arrays
from fairway.scoring.scores import VERSION, Scores
from fairway.stage import sha256_of
from workflow.conftest import ROOT, SMOKE, Workflow, environment
from workflow.test_reruns import ROWS, SIZES

DECODABLE = [row["name"] for row in ROWS if not row["cache"].startswith("hashed")]
MODEL = f"models/ebls/seed{SIZES['seeds'][0]}"


def run_script(name: str, *arguments: str | Path) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / "stages" / f"{name}.py"), *map(str, arguments)]
    return subprocess.run(command, env=environment(), capture_output=True, text=True)


def prove(smoke: Workflow, folder: Path, row: str, spec: Path, scores: Path, text=None):
    """Run prove_row as the rule does, but with this spec, scores, text and outputs in `folder`."""
    corpus, cache = smoke.file("corpus"), next(r["cache"] for r in ROWS if r["name"] == row)
    counts = sorted(smoke.file(f"counts/{cache}").glob("rank*.npz"))
    flags = {
        "spec": spec,
        "manifest": corpus / "manifest.json",
        "val": corpus / "val.bin",
        "val-bytes": corpus / "val_bytes.npy",
        "val-text": text or corpus / "val_text.bin",
        "tokenizer": corpus / "tokenizer.model",
        "artifact": smoke.file(f"{MODEL}/artifact.bin"),
        "bundle": smoke.file(f"decoders/{row}.py"),
        "proof": folder / "proof.json",
        "file": folder / "proof.fwtx",
    }
    arguments = [part for flag, value in flags.items() for part in (f"--{flag}", value)]
    return run_script("prove_row", *arguments, "--scores", scores, "--counts", *counts)


@pytest.mark.parametrize("row", DECODABLE)
def test_decodable_row_is_proven(smoke, row):
    proof = json.loads(smoke.file(f"rows/{row}/proof.json").read_text())
    assert proof["decoded"] is True and proof["text"] == "original"
    assert proof["bundle_sha256"] == sha256_of(smoke.file(f"decoders/{row}.py"))
    assert SIZES["proof"]["bytes"] <= proof["bytes"] < SIZES["proof"]["bytes"] + 16
    assert proof["file_bits"] == 8 * smoke.file(f"rows/{row}/proof.fwtx").stat().st_size
    assert 0 < proof["file_bits"] - proof["claimed_bits"] <= 0.001 * proof["claimed_bits"] + 512
    assert proof["claimed_bits"] < 8 * proof["bytes"] / 2, "not much of a model"


def test_hashed_row_is_refused_with_the_reason(smoke, tmp_path):
    content = json.loads(smoke.spec("prove_row", "exact15_adaptive").read_text())
    of_row = json.loads(smoke.spec("mix_scores", "hashed15_adaptive").read_text())["settings"]
    del of_row["audit"]
    content["settings"] |= of_row  # no job of this row has such a spec
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps(content))
    done = prove(
        smoke, tmp_path, "hashed15_adaptive", spec, smoke.file(f"{MODEL}/scores/rank0.npz")
    )
    assert done.returncode == 2
    assert "error: row hashed15_adaptive: its counts are hashed, so its prob" in done.stderr
    assert list(tmp_path.iterdir()) == [spec]


def test_scores_that_claim_too_little_are_found(smoke, tmp_path):
    scores = Scores.load(smoke.file(f"{MODEL}/scores/rank0.npz"))
    cheated = vars(scores) | {"nll": scores.nll * 0.5}
    save_arrays(tmp_path / "rank0.npz", VERSION, **cheated)
    spec = tmp_path / "spec.json"
    spec.write_text(smoke.spec("prove_row", "exact15_adaptive").read_text())
    done = prove(smoke, tmp_path, "exact15_adaptive", spec, tmp_path / "rank0.npz")
    assert done.returncode == 2
    assert "error: row exact15_adaptive: a file of " in done.stderr
    assert not (tmp_path / "proof.json").exists()


def test_text_that_is_not_the_corpus_proves_nothing(smoke, tmp_path):
    text = tmp_path / "other.bin"
    text.write_bytes(smoke.file("corpus/val_text.bin").read_bytes().replace(b"the", b"teh"))
    spec = smoke.spec("prove_row", "exact15_adaptive")
    scores = smoke.file(f"{MODEL}/scores/rank0.npz")
    done = prove(smoke, tmp_path, "exact15_adaptive", spec, scores, text)
    assert done.returncode == 2
    assert f"error: {text}: SHA-256 " in done.stderr
    assert list(tmp_path.iterdir()) == [text]


def test_codec_commands(smoke, tmp_path):
    def codec(verb: str, row: str, source: Path, target: Path) -> subprocess.CompletedProcess:
        return run_script(
            *("codec", verb, "--artifact", smoke.file(f"{MODEL}/artifact.bin")),
            *("--tokenizer", smoke.file("corpus/tokenizer.model")),
            *("--row-spec", smoke.spec("mix_scores", row), source, target),
        )

    text, file, back = (tmp_path / name for name in ("text", "file", "back"))
    text.write_bytes(SMOKE.read_bytes()[:400] + b"\0\xff\xfe" + "▁ a\n".encode() * 3)
    done = codec("compress", "exact15_bayes", text, file)
    assert done.returncode == 0, done.stderr
    assert file.stat().st_size < text.stat().st_size
    assert codec("decompress", "exact15_bayes", file, back).returncode == 0
    assert back.read_bytes() == text.read_bytes()
    back.unlink()
    done = codec("decompress", "exact15_adaptive", file, back)
    assert done.returncode == 2 and not back.exists()
    assert f"codec.py: error: {file}: made with row settings" in done.stderr
