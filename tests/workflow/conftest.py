"""One finished smoke run, shared by all workflow tests; each leaves it as it found it."""

import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import yaml

from support.forked_snakemake import forked_snakemake

ROOT = Path(__file__).resolve().parents[2]
SMOKE = ROOT / "config" / "smoke.yaml"
CHECKOUT_PARTS = ("Snakefile", "rules", "config.yaml", "config", "stages", "envs", "profiles")


def environment() -> dict[str, str]:
    """This interpreter's folder first on PATH, as in an activated environment."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return os.environ | {"PATH": path}


@dataclass(frozen=True)
class Workflow:
    """A working directory, the checkout whose Snakefile runs in it, and its configuration."""

    directory: Path
    checkout: Path = ROOT
    configs: tuple[Path, ...] = (SMOKE,)

    def command(self, *arguments: str, override: dict | None = None) -> list[str]:
        """The snakemake command line on the configs and an override file on top of them."""
        configs = [str(file) for file in self.configs]
        if override is not None:
            file = self.directory / "override.yaml"
            file.write_text(yaml.safe_dump(override))
            configs.append(str(file))
        base = [sys.executable, "-m", "snakemake", "--cores", "2", "--nocolor"]
        base += ["--snakefile", str(self.checkout / "Snakefile")]
        base += ["--directory", str(self.directory)]
        return [*base, "--configfile", *configs, *arguments]

    def run(self, *arguments: str, override: dict | None = None) -> subprocess.CompletedProcess:
        """Run snakemake to its end; output and errors together in stdout."""
        command = self.command(*arguments, override=override)
        if "--dry-run" in arguments:
            return forked_snakemake(command[3:], self.checkout)
        return subprocess.run(
            command,
            env=environment(),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def planned(self, override: dict | None = None) -> dict[str, int]:
        """Jobs by rule that a dry-run lists, but for those that write missing specs."""
        done = self.run("--dry-run", override=override)
        assert done.returncode == 0, done.stdout
        counts = job_counts(done.stdout)
        assert counts.pop("write_specs", 1) == 1
        counts.pop("write_spec", None)
        return counts

    def spec(self, stage: str, key: str) -> Path:
        """The newest spec of a stage."""
        found = self.file(f"specs/{stage}").glob(f"{key}.*.json")
        return max(found, key=lambda path: path.stat().st_mtime_ns)

    def file(self, name: str) -> Path:
        return self.directory / "results" / name


def job_counts(text: str) -> dict[str, int]:
    """Snakemake's `Job stats` table without its total and the target rule."""
    table = re.search(r"Job stats:\njob +count\n[- ]+\n(.*?)\n\n", text, re.DOTALL)
    if table is None:
        assert "Nothing to be done" in text, text
        return {}
    lines = [line.split() for line in table[1].splitlines()]
    return {name: int(count) for name, count in lines if name not in ("total", "all")}


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Workflow:
    """The smoke run, run to its end once; every worker has a copy of its own, times and all."""
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    with (shared / "smoke.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        first = Workflow(shared / "smoke")
        if not first.file("summary.csv").is_file():
            first.directory.mkdir(exist_ok=True)
            done = first.run()
            assert done.returncode == 0, done.stdout[-6000:]
    shutil.copytree(first.directory, own / "smoke_copy")
    shutil.copytree(first.file(""), own / "smoke_copy" / "untouched" / "results")
    return Workflow(own / "smoke_copy")


@pytest.fixture
def smoke(finished) -> Iterator[Workflow]:
    """The finished smoke run; a test that leaves it without some of its files is at fault."""
    yield finished
    untouched = finished.directory / "untouched"
    made = [path.relative_to(untouched) for path in (untouched / "results").rglob("*")]
    assert [path for path in made if not (finished.directory / path).exists()] == []


@pytest.fixture
def spare(finished, tmp_path) -> Workflow:
    """A copy of the finished smoke run that a test may spoil."""
    folder = tmp_path / "spare"
    shutil.copytree(finished.directory, folder, ignore=shutil.ignore_patterns("untouched"))
    return Workflow(folder)


@pytest.fixture
def without_records(smoke) -> Workflow:
    """The smoke run as it was when it finished, with Snakemake's own records lost."""
    return Workflow(smoke.directory / "untouched")


@pytest.fixture
def edited(smoke, tmp_path) -> Callable[[str, str], Workflow]:
    """A function that appends text to a file of a copied checkout; same working directory."""
    return lambda name, text: edited_copy(smoke, tmp_path, name, text)


def edited_copy(workflow: Workflow, folder: Path, name: str, text: str) -> Workflow:
    """The workflow run from a copy of the checkout, in `folder`, with text appended to a file."""
    checkout = folder / "checkout"
    checkout.mkdir()
    for part in CHECKOUT_PARTS:
        source, target = ROOT / part, checkout / part
        copy = shutil.copytree if source.is_dir() else shutil.copy2
        copy(source, target)
    with (checkout / name).open("a") as file:
        file.write(text)
    return replace(workflow, checkout=checkout)
