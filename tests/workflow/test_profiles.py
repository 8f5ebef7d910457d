"""Each profile stands in for profiles/default, so they agree where they must."""

import re
import subprocess
import sys
from importlib.util import find_spec

import pytest
import yaml

from workflow.conftest import ROOT

PROFILES = {
    name: yaml.safe_load((ROOT / "profiles" / name / "config.yaml").read_text())
    for name in ("default", "gpu8", "slurm")
}
MACHINE = {"cores", "resources"}  # what a profile is there to change


@pytest.mark.parametrize("name", ["gpu8", "slurm"])
def test_default_settings_are_repeated(name):
    repeated = {key: PROFILES["default"][key] for key in PROFILES["default"].keys() - MACHINE}
    assert repeated.items() <= PROFILES[name].items()


def test_gpus_at_a_time():
    gpus = {name: profile.get("resources", {}).get("gpu") for name, profile in PROFILES.items()}
    assert gpus == {"default": 1, "gpu8": 8, "slurm": None}, "Slurm's scheduler counts its own"


def test_slurm_limits_are_of_rules_that_exist_and_grow_with_each_attempt():
    text = "".join(file.read_text() for file in (ROOT / "rules").glob("*.smk"))
    rules = set(re.findall(r"^rule (\w+):", text, re.MULTILINE))
    limits = PROFILES["slurm"]["set-resources"]
    assert limits.keys() <= rules
    for values in [*limits.values(), PROFILES["slurm"]["default-resources"]]:
        for key in ("runtime", "mem_mb"):
            assert re.fullmatch(r"\d+ \* attempt", values[key]), (key, values)
    assert PROFILES["slurm"]["retries"] >= 1


@pytest.mark.skipif(
    find_spec("snakemake_executor_plugin_slurm") is not None, reason="the plugin is installed"
)
def test_slurm_without_its_plugin_is_one_clear_line(tmp_path):
    command = [sys.executable, str(ROOT / "envs" / "launch.py"), "--directory", str(tmp_path)]
    command += ["--workflow-profile", "profiles/slurm"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode != 0
    assert done.stderr == (
        "error: profiles/slurm: needs Snakemake's Slurm plugin: "
        ".venv/bin/pip install -r envs/cluster.txt\n"
    )
