"""Run Snakemake on results/summary.csv, or on the targets given, and print the table.

    .venv/bin/python envs/launch.py [snakemake arguments]

One run at a time in a working directory: a second one waits. A lock that a killed Snakemake left
behind is removed once no process of that run is left; while one is, this stops and names it.
"""

import fcntl
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import psutil
from snakemake.cli import get_argument_parser

ROOT = Path(__file__).resolve().parent.parent
SUMMARY = "results/summary.csv"
RESULTS = "results/"
CONFIG_FLAGS = ("--configfile", "--configfiles")
CONFIG_FILES = (".yaml", ".yml", ".json")
NO_TABLE = ("dryrun", "unlock", "lint", "list_rules", "dag", "rulegraph", "summary", "report")


def split_targets(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Separate words that --configfile would swallow although they name no configuration file.

    Returns (arguments without those words, those words): `--configfile x.yaml estimate` asks for
    the target `estimate`. What lies under results/ is made, and so a target whatever its name.
    """
    kept: list[str] = []
    targets: list[str] = []
    in_config = False
    for word in arguments:
        if word.startswith("-"):
            in_config = word in CONFIG_FLAGS
        elif in_config and (word.startswith(RESULTS) or not word.endswith(CONFIG_FILES)):
            targets.append(word)
            continue
        kept.append(word)
    return kept, targets


def processes_at_work(directory: Path) -> list[str]:
    """Snakemake processes and stages, other than this one, whose working directory is this."""
    found = []
    for process in psutil.process_iter(["pid", "cwd", "cmdline"]):
        words = process.info["cmdline"] or []
        is_ours = any("snakemake" in word or "stages/" in word for word in words[:3])
        if process.pid != os.getpid() and process.info["cwd"] == str(directory) and is_ours:
            found.append(f"pid {process.pid} ({' '.join(words[:3])})")
    return found


def remove_stale_lock(directory: Path, command: list[str]) -> None:
    """Unlock after a killed run; exits with one line while its processes are still at work."""
    locks = directory / ".snakemake" / "locks"
    if not (locks.is_dir() and any(locks.iterdir())):
        return
    alive = processes_at_work(directory)
    if alive:
        sys.exit(f"error: {directory} is in use by {alive[0]}; wait for it or stop it, then retry")
    print("removing the lock that an interrupted run left behind", file=sys.stderr)
    subprocess.run([*command, "--unlock"], capture_output=True)  # the run itself says what fails


def require_plugin(profile: str | None) -> None:
    """Exit with one line, not Snakemake's usage text, if the Slurm profile cannot work here."""
    if Path(profile or "").name == "slurm" and not find_spec("snakemake_executor_plugin_slurm"):
        install = "pip install -r envs/cluster.txt"
        sys.exit(f"error: {profile}: needs Snakemake's Slurm plugin: .venv/bin/{install}")


def print_table(directory: Path) -> None:
    """Print the ablation table of the finished run."""
    table = directory / "results" / "ablation.md"
    if table.is_file():
        print("\n" + table.read_text(), end="")


def main() -> None:
    arguments, targets = split_targets(sys.argv[1:])
    if arguments[-1:] == ["--"]:
        arguments.pop()  # targets were to follow, and none did
    parsed = get_argument_parser().parse_args(arguments)
    directory = Path(parsed.directory or ".").resolve()
    directory.mkdir(parents=True, exist_ok=True)
    if not (parsed.targets or targets):
        targets = [SUMMARY]
    runs = not any(getattr(parsed, name, None) for name in NO_TABLE)
    ends_in_table = runs and SUMMARY in [*parsed.targets, *targets]
    require_plugin(parsed.workflow_profile)
    os.environ["PATH"] = f"{ROOT / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    command = [sys.executable, "-m", "snakemake", *arguments]
    with (directory / ".fairway.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"another run is at work in {directory}; waiting for it", file=sys.stderr)
            fcntl.flock(lock, fcntl.LOCK_EX)
        remove_stale_lock(directory, command)
        code = subprocess.run([*command, "--", *targets] if targets else command).returncode
        if code == 0 and ends_in_table:
            print_table(directory)
    sys.exit(code)


if __name__ == "__main__":
    main()
