"""Run Snakemake on the table, or on the targets given, and print it.

    .venv/bin/python -E envs/launch.py [snakemake arguments]

Relative paths in the arguments are the caller's; without --directory, results are the checkout's.
One run at a time in a working directory: a second one waits. A lock that a killed Snakemake left
behind is removed once no process of that run is left; while one is, this stops and names it.
"""

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
from argparse import Namespace
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until the run has begun: no traceback

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "stages"))
from arguments import read_arguments
from outcome import JOBS, failures, read_jobs, refusals, time_by_stage
from session import run_to_end

from fairway.stage import EXIT_BAD_INPUT, StageError
from fairway.workflow.environment import clean, place_caches
from fairway.workflow.layers import Config, put_together, read_layer

ROOT = Path(__file__).resolve().parents[1]
SUMMARY, TABLE = "results/summary.csv", "results/ablation.md"
REPORT = "results/report.html"
NO_TABLE = (  # options with which Snakemake runs nothing
    *("dryrun", "lint", "generate_unit_tests", "containerize", "export_cwl", "report", "version"),
    *("list_rules", "list_target_rules", "dag", "rulegraph", "filegraph", "d3dag", "summary"),
    *("detailed_summary", "archive", "cleanup_metadata", "cleanup_shadow", "unlock"),
    *("list_changes", "list_input_changes", "list_params_changes", "list_untracked"),
    *("delete_all_output", "delete_temp_output", "print_compilation", "list_conda_envs"),
    *("conda_cleanup_envs", "conda_create_envs_only"),
)
IN_PART = ("until", "omit_from", "batch", "touch")  # with which a table may be wanted in vain
EXIT_NO_TABLE = 1


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
    """Unlock after a killed run. Raises StageError while its processes are still at work."""
    locks = directory / ".snakemake" / "locks"
    if not (locks.is_dir() and any(locks.iterdir())):
        return
    alive = processes_at_work(directory)
    if alive:
        raise StageError(
            f"{directory} is in use by {alive[0]}; wait for it or stop it, then retry"
        )
    print("removing the lock that an interrupted run left behind", file=sys.stderr)
    subprocess.run([*command, "--unlock"], capture_output=True)  # the run itself says what fails


def require_plugin(profile: str | None) -> None:
    """Raise StageError, in place of Snakemake's usage text, if the Slurm profile cannot work."""
    if Path(profile or "").name == "slurm" and not find_spec("snakemake_executor_plugin_slurm"):
        install = "pip install -r envs/cluster.txt"
        raise StageError(f"{profile}: needs Snakemake's Slurm plugin: .venv/bin/{install}")


def print_table(config: Config) -> bool:
    """Print the ablation table in the working directory, if it is this configuration's.

    That is told by content, whatever the run that has just ended did or left out. Returns whether
    there was one.
    """
    from fairway.workflow.plan import Plan  # takes a second

    table, plan = Path(TABLE), Plan(config, ROOT)
    if plan.table_is_current() and table.is_file():
        print("\n" + table.read_text(), end="")
        return True
    reason = next(iter(plan.stale.values()), f"{table}: no such file")
    print(f"no table: {reason}", file=sys.stderr)
    return False


def print_times(directory: Path) -> None:
    """Print what each stage took, and where the report is or how to get one."""
    jobs = read_jobs(directory)
    lines = time_by_stage(jobs)
    if lines:
        made = any(job.rule == "write_report" for job in jobs)
        report = str(directory / REPORT) if made else "./run report makes one, with pictures"
        print("\n" + "\n".join(lines) + f"\n\nreport: {report}")


def with_loggers(words: list[str], options: Namespace, directory: Path) -> list[str]:
    """Snakemake's options with loggers: jobs are recorded, and on a terminal drawn.

    They stand behind the caller's, as --logger would take a target for a logger's name.
    """
    if options.logger:
        return words  # the caller's own
    plain = options.quiet or options.verbose or options.dryrun
    draws = sys.stderr.isatty() and not plain
    own = [f"--logger-record-file={directory / JOBS}", "--logger", "record"]
    end = words.index("--") if "--" in words else len(words)
    return [*words[:end], *own, *(["watch"] if draws else []), *words[end:]]


@contextlib.contextmanager
def held(directory: Path) -> Iterator[None]:
    """Within, no other ./run works in the directory, which is made if need be.

    Raises StageError if it cannot be written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = (directory / ".fairway.lock").open("w")
    except OSError as error:
        reason = f"{error.filename}: {error.strerror}"
        raise StageError(f"{reason}; expected --directory to be one to write in") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"another run is at work in {directory}; waiting for it", file=sys.stderr)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def run_pipeline(arguments: list[str]) -> int:
    """Do what the command line says; returns the exit code. Raises StageError for bad input."""
    request = read_arguments(arguments)
    options = request.options
    targets = request.targets if options.targets else [SUMMARY, TABLE]
    default = [] if options.replace_workflow_config else [ROOT / "config.yaml"]
    layers = [read_layer(file) for file in (*default, *options.configfile)]
    require_plugin(options.workflow_profile)
    directory = Path(options.directory or ROOT).resolve()
    runs, in_part = not _has_any(options, NO_TABLE), _has_any(options, IN_PART)
    recorded = runs or options.dryrun
    snakemake = [sys.executable, str(ROOT / "envs" / "run_snakemake.py")]
    with held(directory):
        place_caches(os.environ, directory / ".snakemake" / "cache")
        os.chdir(ROOT)  # where the Snakefile and the default profile are
        remove_stale_lock(directory, [*snakemake, *request.words])
        (directory / JOBS).unlink(missing_ok=True)
        words = with_loggers(request.words, options, directory) if recorded else request.words
        code = run_to_end([*snakemake, *words, *(["--", *targets] if targets else [])])
        if code == 0 and runs and SUMMARY in [*options.targets, *targets]:
            os.chdir(directory)
            found = print_table(put_together([*layers, request.config]))
            print_times(directory)
            if not found and not in_part:
                code = EXIT_NO_TABLE
        elif 0 < code < 128 and recorded:  # not ended by a signal
            for line in failures(read_jobs(directory)) or refusals(directory):
                print(line, file=sys.stderr)
    return code


def _has_any(options: Namespace, names: tuple[str, ...]) -> bool:
    """Whether any of these options is given."""
    return any(getattr(options, name, None) for name in names)


def main() -> None:
    clean(os.environ)
    try:
        code = run_pipeline(sys.argv[1:])
    except StageError as error:
        for line in str(error).splitlines():
            print(f"error: {line}", file=sys.stderr)
        code = EXIT_BAD_INPUT
    sys.exit(code)


if __name__ == "__main__":
    main()
