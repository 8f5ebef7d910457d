"""What ./run makes of its command line: paths of the caller's, targets, what it refuses."""

import sys
from pathlib import Path

import pytest
from snakemake.cli import get_argument_parser

from fairway.stage import StageError
from support.configs import ROOT

sys.path.insert(0, str(ROOT / "envs"))
from arguments import PATHS, QUIET, read_arguments, split_targets


@pytest.mark.parametrize(
    ("words", "kept", "targets"),
    [
        (["-n"], ["-n"], []),
        (["--configfile", "a.yaml", "estimate"], ["--configfile", "a.yaml"], ["estimate"]),
        (
            ["--configfile", "a.yaml", "b.yml", "estimate", "-n"],
            ["--configfile", "a.yaml", "b.yml", "-n"],
            ["estimate"],
        ),
        (["results/ablation.md", "-c1"], ["results/ablation.md", "-c1"], []),
        (
            ["--configfile", "a.yaml", "results/corpus/manifest.json", "b.json"],
            ["--configfile", "a.yaml", "b.json"],
            ["results/corpus/manifest.json"],
        ),
        (
            ["--configfile", "a.YAML", "b.Json", "estimate"],
            ["--configfile", "a.YAML", "b.Json"],
            ["estimate"],
        ),
        (["--configfile", "mine", "estimate"], ["--configfile", "mine"], ["estimate"]),
        (
            ["--configfile", "a.yaml", "--", "estimate"],
            ["--configfile", "a.yaml", "--", "estimate"],
            [],
        ),
        (["--quiet", "results/a.md"], ["--quiet"], ["results/a.md"]),
        (["-q", "rules", "host", "estimate", "-n"], ["-q", "rules", "host", "-n"], ["estimate"]),
        (["-nq", "report"], ["-nq"], ["report"]),
        (["--quiet", "all"], ["--quiet", "all"], []),
    ],
)
def test_targets_after_configuration_files_and_quiet(words, kept, targets):
    assert split_targets(words) == (kept, targets)


def understood(*arguments: str) -> tuple[dict, list[str]]:
    """Options and targets that Snakemake sees, as its own parser understands them."""
    request = read_arguments(list(arguments))
    behind = ["--", *request.targets] if request.targets else []
    options = get_argument_parser().parse_args([*request.words, *behind])
    return vars(options), list(options.targets)


@pytest.mark.parametrize(
    ("arguments", "name", "value"),
    [
        (["--directory", "d"], "directory", "d"),
        (["-d", "d"], "directory", "d"),
        (["-dd"], "directory", "d"),
        (["--directory=../d"], "directory", "../d"),
        (["--snakefile", "s"], "snakefile", "s"),
        (["-s", "s"], "snakefile", "s"),
        (["--report", "r.html"], "report", "r.html"),
        (["--report"], "report", "report.html"),
        (["--archive", "a.tar.gz"], "archive", "a.tar.gz"),
        (["--workflow-profile", "mine"], "workflow_profile", "mine"),
    ],
)
def test_relative_paths_are_the_caller_s(tmp_path, monkeypatch, arguments, name, value):
    monkeypatch.chdir(tmp_path)
    Path("mine").mkdir()
    options, targets = understood(*arguments)
    assert str(options[name]) == f"{tmp_path}/{value}" and targets == []
    options, targets = understood("-n", *arguments, "--", "results/summary.csv")
    assert str(options[name]) == f"{tmp_path}/{value}" and targets == ["results/summary.csv"]


@pytest.mark.parametrize("flag", ["--configfile", "--configfiles"])
def test_configuration_files_are_the_caller_s_and_targets_are_not(tmp_path, monkeypatch, flag):
    monkeypatch.chdir(tmp_path)
    options, targets = understood("-n", flag, "a.yaml", "/b.yaml", "results/x.csv", "-d", "d")
    assert [str(file) for file in options["configfile"]] == [f"{tmp_path}/a.yaml", "/b.yaml"]
    assert str(options["directory"]) == f"{tmp_path}/d" and targets == ["results/x.csv"]


@pytest.mark.parametrize("profile", ["none", "profiles/gpu8"])
def test_profiles_that_the_caller_does_not_have_are_the_checkout_s(tmp_path, monkeypatch, profile):
    monkeypatch.chdir(tmp_path)
    assert understood("--workflow-profile", profile)[0]["workflow_profile"] == profile


def test_all_profiles_count_and_may_be_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine").mkdir()
    options, _ = understood("--profile", "mine", "--profile=mine", "--profile", "cluster")
    assert options["profile"] == [f"{tmp_path}/mine", f"{tmp_path}/mine", "cluster"]


@pytest.mark.parametrize("arguments", [("--quiet", "report"), ("--quiet", "rules", "report")])
def test_quiet_leaves_the_target(arguments):
    assert understood(*arguments)[1] == ["report"]


def test_snakemake_knows_all_options_that_are_looked_at():
    quiet = next(each for each in get_argument_parser()._actions if each.dest == "quiet")
    assert set(QUIET) == {getattr(choice, "value", choice) for choice in quiet.choices}
    options = vars(get_argument_parser().parse_args([]))
    assert not set(PATHS) - options.keys()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cores", "0"], "--cores: 0; expected at least 1"),
        (["-c0"], "--cores: 0; expected at least 1"),
        (["-c", "-1"], "--cores: -1; expected at least 1"),
        (["--jobs", "0"], "--jobs: 0; expected at least 1"),
        (["--local-cores", "0"], "--local-cores: 0; expected at least 1"),
        (["--cores", "two"], "must be integer or 'all'"),
        (["--configfile", "a.yaml", "--configfile", "b.yaml"], "--configfile: given twice"),
        (["--configfile=a.yaml", "-n", "--configfiles", "b.yaml"], "--configfile: given twice"),
    ],
)
def test_what_would_hang_or_be_dropped_is_refused(arguments, message):
    with pytest.raises(StageError, match=message) as caught:
        read_arguments(arguments)
    assert len(str(caught.value).splitlines()) == 1
