"""No file in stages/ hides a module of the standard library or of an installed package."""

import sys
from importlib.metadata import packages_distributions
from pathlib import Path

STAGES = Path(__file__).resolve().parents[2] / "stages"


def test_no_stage_hides_another_module():
    taken = set(sys.stdlib_module_names) | set(packages_distributions())
    own = {path.stem for path in STAGES.iterdir()} - {"__pycache__"}
    assert not own & taken
