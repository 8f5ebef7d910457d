"""Snakemake hashes each state of a file once, however often it asks."""

import asyncio
import hashlib
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from snakemake import io

from support.configs import ROOT

sys.path.insert(0, str(ROOT / "envs"))
from run_snakemake import hash_once

LIMIT = 1000  # bytes


@pytest.fixture
def digested(monkeypatch):
    """Names of the files that Snakemake reads to hash them, in order."""
    names = []

    def file_digest(stream, algorithm):
        names.append(Path(stream.name).name)
        return hashlib.file_digest(stream, algorithm)

    module = SimpleNamespace(file_digest=file_digest, sha256=hashlib.sha256)
    monkeypatch.setattr(io, "hashlib", module)
    monkeypatch.setattr(io._IOFile, "checksum", io._IOFile.checksum)  # back at the end
    hash_once(io._IOFile)
    return names


def checksum(path) -> str | None:
    file = io.IOFile(str(path), rule=None)
    workflow = SimpleNamespace(iocache=SimpleNamespace(active=False))  # as while jobs run
    file.rule = SimpleNamespace(workflow=workflow)
    return asyncio.run(file.checksum(LIMIT))


def test_a_file_is_hashed_once_until_it_changes(tmp_path, digested):
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_bytes(b"one")
    second.write_bytes(b"two")
    expected = [f"sha256:{hashlib.sha256(text).hexdigest()}" for text in (b"one", b"two")]
    for _ in range(3):
        assert [checksum(path) for path in (first, second)] == expected
    assert digested == ["first", "second"]


@pytest.mark.parametrize("change", ["content", "time", "file"])
def test_a_file_of_another_size_time_or_inode_is_hashed_again(tmp_path, digested, change):
    path = tmp_path / "first"
    path.write_bytes(b"one")
    before, stat = checksum(path), path.stat()
    if change == "content":
        path.write_bytes(b"three")
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    elif change == "time":
        path.write_bytes(b"two")
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    else:
        (tmp_path / "other").write_bytes(b"two")
        os.utime(tmp_path / "other", ns=(stat.st_atime_ns, stat.st_mtime_ns))
        (tmp_path / "other").replace(path)
    assert checksum(path) != before and digested == ["first", "first"]


def test_what_is_missing_or_too_large_has_no_checksum(tmp_path, digested):
    (tmp_path / "large").write_bytes(bytes(LIMIT + 1))
    assert checksum(tmp_path / "large") is None and checksum(tmp_path / "missing") is None
    assert digested == []
