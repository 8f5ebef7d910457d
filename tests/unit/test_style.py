"""What pyproject.toml sets is kept: style (ruff, snakefmt, Snakemake's linter) and the rooms."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RULE_FILES = ["Snakefile", *sorted(str(p.relative_to(ROOT)) for p in ROOT.glob("rules/*.smk"))]
TOOLS = {
    "ruff_check": ["ruff", "check", "--no-cache", "."],
    "ruff_format": ["ruff", "format", "--check", "--no-cache", "."],
    "snakefmt": ["snakefmt", "--check", *RULE_FILES],
}


def run_tool(*arguments: str | Path) -> subprocess.CompletedProcess:
    """A module of this interpreter, in the checkout; output and errors together in stdout."""
    command = [sys.executable, "-m", *arguments]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.run(command, cwd=ROOT, text=True, timeout=120, **streams)


@pytest.mark.parametrize("tool", TOOLS)
def test_style_is_kept(tool: str) -> None:
    done = run_tool(*TOOLS[tool])
    assert done.returncode == 0, done.stdout


def test_snakemakes_linter_finds_nothing(tmp_path: Path) -> None:
    """In a folder of its own, since reading the Snakefile writes the spec files."""
    done = run_tool("snakemake", "--lint", "--directory", tmp_path)
    assert done.returncode == 0, done.stdout
    assert "your workflow is in a good condition" in done.stdout


def test_packages_import_only_from_those_nearer_to_the_ground() -> None:
    """The plan of stages/fairway; a broken contract is printed with the import that broke it."""
    command = [Path(sys.executable).parent / "lint-imports", "--no-cache"]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "stages")}
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    done = subprocess.run(command, cwd=ROOT, env=environment, text=True, timeout=120, **streams)
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout
