"""Jobs run as this checkout means them, whatever the caller's shell and the paths say."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from snakemake.utils import format as as_snakemake_formats

from fairway.workflow.environment import clean, interpreter, place_caches
from fairway.workflow.layers import read_layer
from fairway.workflow.plan import Plan
from support.configs import ROOT

SIGNS = "w $(touch here); \"d\" {x} {{y}} [1] (2) 'q' & $HOME #"


def test_variables_that_change_what_runs_are_taken_away():
    leaks = ["PYTHONPATH", "PYTHONSAFEPATH", "PYTHONOPTIMIZE", "PYTHONHOME", "PYTHONSTARTUP"]
    leaks += ["PYTHONWARNINGS", "PYTHONINSPECT", "BASH_ENV", "ENV", "CDPATH"]
    kept = {"PATH": "/bin", "HOME": "/root", "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"}
    environment = kept | dict.fromkeys(leaks, "1")
    clean(environment)
    assert environment == kept


def test_caches_lie_in_the_user_s_folder_if_that_can_be_written(tmp_path):
    for environment in ({"HOME": str(tmp_path / "new")}, {"XDG_CACHE_HOME": str(tmp_path)}):
        before = dict(environment)
        place_caches(environment, Path("elsewhere"))
        assert environment == before and not (tmp_path / "new").exists()


@pytest.mark.parametrize("home", [{}, {"HOME": "/dev/null"}, {"HOME": "relative"}])
def test_caches_lie_elsewhere_if_the_user_s_folder_cannot_be_written(home):
    environment = dict(home)
    place_caches(environment, Path("/x"))
    assert environment == home | {"XDG_CACHE_HOME": "/x", "MPLCONFIGDIR": "/x/matplotlib"}


@pytest.mark.parametrize(("methods", "python"), [((), sys.executable), (("CONDA",), "python")])
def test_jobs_run_under_snakemake_s_own_python_but_in_conda_environments(methods, python):
    settings = SimpleNamespace(deployment_method=[SimpleNamespace(name=name) for name in methods])
    assert interpreter(SimpleNamespace(deployment_settings=settings)) == python


def test_shell_text_takes_paths_as_they_are(tmp_path, monkeypatch):
    """Formatted by Snakemake and run by bash; the interpreter lies in a folder of such a name."""
    checkout = tmp_path / SIGNS
    (checkout / "stages").mkdir(parents=True)
    (checkout / "config").symlink_to(ROOT / "config")
    (checkout / "python").symlink_to("/bin/sh")
    (checkout / "stages" / "x.py").write_text('printf "%s\\n" "$0" "$@"\n')
    monkeypatch.chdir(tmp_path)
    plan = Plan(read_layer(ROOT / "config.yaml"), checkout, str(checkout / "python"))
    text = as_snakemake_formats(
        plan.command("x", "--flag {output}"),
        input=SimpleNamespace(spec="spec.json"),
        output="out",
        log="log",
    )
    subprocess.run(["bash", "-c", text], check=True)
    words = [f"{SIGNS}/stages/x.py", "--spec", "spec.json", "--flag", "out"]
    assert Path("log").read_text().splitlines() == words
    assert not Path("here").exists()


def test_documents_with_braces_are_no_wildcards_of_snakemake_s(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("{a}.txt", "b.txt"):
        Path(name).write_text("text")
    config = read_layer(ROOT / "config.yaml")
    config["corpus"] |= {"kind": "text", "paths": ["*.txt", "{c}.txt"]}
    plan = Plan(config, ROOT)
    assert plan.sources == [Path("b.txt"), Path("{a}.txt")]
    assert plan.documents("made") == [] and "{c}.txt" in plan.absent["{c}.txt"]


def test_absent_documents_stop_their_job_though_its_outputs_are_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = read_layer(ROOT / "config.yaml")
    config["corpus"] |= {"kind": "text", "paths": ["gone.txt"]}
    plan = Plan(config, ROOT)
    assert plan.documents("made") == ["gone.txt"]
    Path("made").touch()
    assert plan.documents("made") == []  # Snakemake would drop the job; so it runs and says it
