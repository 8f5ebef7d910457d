"""Check a scorer, anybody's: does its number stand for a code length? It is run, not read.

    python stages/check_scorer.py examples/scorers/dirichlet_backoff.py:make

    python stages/check_scorer.py my_scorer.py:make --tokens val.bin
    python stages/check_scorer.py my_scorer.py:make --text text.txt --tokenizer tokenizer.model
    python stages/check_scorer.py "./scorer {input} {output}" --tokens val.bin --vocabulary 1024

Prints a table; writes check.json and, for every check that failed, a page that explains it. Exit
code 1 if the score is no code length or a check could not be made, 2 for wrong flags or files.
docs/is_my_score_valid.md says how to write the scorer, what is checked, and what cannot be.
"""

from fairway.start import run

import argparse
import json
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from fairway.audit.case import NOT_CHECKED, Case, CheckSettings, Finding
from fairway.audit.report import as_json, table, write_pages
from fairway.audit.sandbox import Limits, ScorerFailure
from fairway.audit.scorer_checks import CHECKS, run_checks
from fairway.audit.scorers import open_scorer
from fairway.audit.texts import ScoredText, built_in_text, file_text, shard_text
from fairway.stage import StageError, write_json


def positive(text: str) -> int:
    """A whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected a whole number of at least 1")
    return int(text)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scorer", nargs="?", help="file.py:function, or a command")
    text = parser.add_mutually_exclusive_group()
    text.add_argument("--tokens", type=Path, help="token shard")
    text.add_argument("--text", type=Path, help="text file; needs --tokenizer")
    parser.add_argument("--tokenizer", type=Path, help="SentencePiece model of the tokens")
    parser.add_argument("--vocabulary", type=int, help="of the tokens, if there is no tokenizer")
    parser.add_argument("--targets", type=positive, default=1000, help="from the text's start")
    parser.add_argument("--mass-targets", type=positive, help="targets of each kind to sum Z at")
    parser.add_argument("--null-tokens", type=positive, help="length of the random text")
    given = {"dest": "given", "action": "append", "default": [], "metavar": "NAME=VALUE"}
    parser.add_argument("--with", **given, help="a keyword argument of make")
    parser.add_argument("--seconds", type=float, default=60.0, help="limit for 1,000 tokens")
    parser.add_argument("--memory-gb", type=float, default=8.0, help="limit for a process, GiB")
    parser.add_argument("--jobs", type=positive, default=1, help="processes at a time")
    parser.add_argument("--rounding", type=float, default=1e-4, help="nats, by another length")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, help="folder [results/checks/NAME]")
    parser.add_argument("--list", action="store_true", help="list the checks and end")
    options = parser.parse_args()
    if not options.list and not options.scorer:
        parser.error("the scorer is missing: file.py:function, or a command")
    return options


def list_checks() -> None:
    """Which check tests which condition, for which kinds of scorer, and how."""
    for name, check in CHECKS.items():
        kinds = "all" if len(check.kinds) == 3 else ", ".join(check.kinds)
        print(f"{name:<11} {check.conditions:<14} {kinds:<18} {check.done}")


def load_text(options: argparse.Namespace, folder: Path) -> ScoredText:
    """The text of the flags."""
    if options.tokens:
        return shard_text(options.tokens, options.tokenizer, options.vocabulary, options.targets)
    if options.text:
        if not options.tokenizer:
            raise StageError("--text: no --tokenizer; expected one to make tokens of the text")
        return file_text(options.text, options.tokenizer, options.targets)
    if options.tokenizer:
        raise StageError("--tokenizer: no --tokens or --text; the built-in text has its own")
    return built_in_text(folder, options.vocabulary, options.targets)


def given_arguments(pairs: list[str]) -> dict[str, Any]:
    """Keyword arguments from NAME=VALUE; a value is JSON, or else text as it stands."""
    given = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.isidentifier():
            raise StageError(f"--with {pair}: expected NAME=VALUE")
        try:
            given[name] = json.loads(value)
        except ValueError:
            given[name] = value
    return given


def say(line: str) -> None:
    """For whoever waits."""
    print(line, file=sys.stderr, flush=True)


def check(options: argparse.Namespace, text: ScoredText) -> dict[str, Any]:
    """The report on the scorer."""
    limits = Limits(options.seconds, options.memory_gb)
    settings = CheckSettings(
        options.mass_targets,
        null_tokens=options.null_tokens,
        seed=options.seed,
        rounding=options.rounding,
    )
    given, offered = given_arguments(options.given), {}
    if text.tokenizer:
        offered["tokenizer"] = str(text.tokenizer.resolve())
    try:
        subject = open_scorer(
            options.scorer, text.vocabulary, given, offered, limits, options.jobs
        )
        with closing(subject):
            case = Case(subject, text, settings, say)
            say(
                f"{options.scorer}: a {subject.traits.kind}, {text.targets:,} targets of "
                f"{text.name}, vocabulary {text.vocabulary:,}; a run takes {case.seconds:.2g} s"
            )
            found = run_checks(case, say)
            notes = list(filter(None, [subject.printed()]))
            return as_json(options.scorer, found, case, notes)
    except ScorerFailure as failure:
        found = {name: Finding(NOT_CHECKED, str(failure)) for name in CHECKS}
        return as_json(options.scorer, found, None, [])


def main() -> None:
    options = arguments()
    if options.list:
        list_checks()
        return
    name = "program" if "{" in options.scorer else Path(options.scorer.rpartition(":")[0]).stem
    folder = options.out or Path("results/checks") / name
    report = check(options, load_text(options, folder))
    write_json(folder / "check.json", report)
    pages = write_pages(report, folder)
    print(table(report))
    for page in pages:
        print(f"why: {page}")
    if not report["is_code_length"]:
        sys.exit(1)


if __name__ == "__main__":
    run(main)
