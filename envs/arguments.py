"""The command line of ./run: Snakemake's own, in which relative paths mean the caller's folder.

Targets are from the working directory, as always with Snakemake.
"""

from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairway.stage import StageError

RESULTS = "results/"
CONFIG_FLAGS = ("--configfile", "--configfiles")
CONFIG_FILES = (".yaml", ".yml", ".json")
QUIET_FLAGS = ("--quiet", "-q", "-nq")
QUIET = ("all", "host", "progress", "reason", "rules")  # what it leaves out
PATHS = (
    *("snakefile", "directory", "report", "report_stylesheet", "report_metadata", "archive"),
    *("export_cwl", "generate_unit_tests", "runtime_profile", "wait_for_files_file", "jobscript"),
    *("conda_prefix", "apptainer_prefix", "shadow_prefix", "runtime_source_cache_path"),
    "workflow_profile",
)
COUNTS = ("cores", "jobs", "local_cores", "max_threads")


@dataclass(frozen=True)
class Request:
    """What the caller asked for.

    words: options for Snakemake, started from any folder; targets: to go behind them and `--`;
    options: the same as Snakemake's parser understands them; config: what --config says.
    """

    words: list[str]
    targets: list[str]
    options: Namespace
    config: dict[str, Any]


def read_arguments(arguments: list[str]) -> Request:
    """Understand a command line; what the parser itself refuses ends the program with its words.

    Raises StageError for what Snakemake would drop in silence or never finish with.
    """
    from snakemake.cli import get_argument_parser, parse_config  # takes a second
    from snakemake.exceptions import CliException

    kept, targets = split_targets(arguments)
    if "--" in kept:
        place = kept.index("--")
        kept, targets = kept[:place], [*kept[place + 1 :], *targets]
    parser = get_argument_parser()
    try:
        options = parser.parse_args([*kept, "--", *targets] if targets else kept)
        config = parse_config(options.config)
    except (CliException, ValueError) as error:
        raise StageError(str(error)) from None
    _refuse(kept, options)
    files = [str(Path.cwd() / file) for file in options.configfile]
    words = [*_with_profiles(kept), *(["--configfile", *files] if files else [])]
    for name in PATHS:  # of two, the later one counts
        value = getattr(options, name)
        is_given = value is not None and value != parser.get_default(name)
        if is_given and (name != "workflow_profile" or Path(value).exists()):
            words.append(f"--{name.replace('_', '-')}={Path.cwd() / value}")
    return Request(words, targets, options, config)


def _with_profiles(words: list[str]) -> list[str]:
    """The words with absolute paths in --profile, of which all that are given count.

    Like --workflow-profile it takes names too: it is a path where the caller's folder has it.
    """
    changed: list[str] = []
    for flag, word in zip(["", *words], words, strict=False):
        name, equals, value = word.partition("=")
        if flag == "--profile" and Path(word).exists():
            changed.append(str(Path.cwd() / word))
        elif name == "--profile" and equals and Path(value).exists():
            changed.append(f"{name}={Path.cwd() / value}")
        else:
            changed.append(word)
    return changed


def split_targets(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Separate words that --configfile or --quiet would swallow although they are not theirs.

    Returns (arguments without those words, those words): `--configfile x.yaml estimate` asks for
    the target `estimate`, and so does `--quiet estimate`.
    """
    kept: list[str] = []
    targets: list[str] = []
    flag, values = "", 0  # the last one, and how many words it has so far
    for index, word in enumerate(arguments):
        if word == "--":
            return [*kept, *arguments[index:]], targets
        if word.startswith("-"):
            flag, values = word, 0
        elif _takes(flag, values, word):
            values += 1
        else:
            targets.append(word)
            continue
        kept.append(word)
    return kept, targets


def _takes(flag: str, values: int, word: str) -> bool:
    """Whether a word is one of a flag's values, of which there are some before it.

    --configfile: its first word in any case, then files by their endings, but for what lies under
    results/, which is made, and so a target whatever its name.
    """
    if flag in QUIET_FLAGS:
        return word in QUIET
    is_file = word.lower().endswith(CONFIG_FILES) and not word.startswith(RESULTS)
    return flag not in CONFIG_FLAGS or not values or is_file


def _refuse(words: list[str], options: Namespace) -> None:
    """Raise StageError for options that Snakemake takes and does not do what they say."""
    flags = [word for word in words if word.partition("=")[0] in CONFIG_FLAGS]
    if len(flags) > 1:
        raise StageError(
            "--configfile: given twice; expected once, with all files behind it: the first would "
            "be dropped"
        )
    for name in COUNTS:
        value = getattr(options, name)
        if value is not None and value < 1:
            raise StageError(f"--{name.replace('_', '-')}: {value}; expected at least 1")
