"""Random damage to a finished run, kills and other times: the next run ends in the same table."""

import random
from pathlib import Path

import pytest
import yaml
from random_walk import LAUNCH, Walk, finished, tables

from workflow.conftest import SMOKE

OTHER = {"gates": {"uniform": {"threshold": 3.5}}}
STEPS = 6


class SmokeWalk(Walk):
    """Steps in a copy of the finished smoke run, which ends under the settings it began with."""

    def __init__(self, folder: Path, generator: random.Random) -> None:
        self.folder, self.generator, self.taken = folder, generator, []
        self.override: list[Path] = []

    def command(self, *arguments: str) -> list[str | Path]:
        configs = [SMOKE, *self.override]
        return [*LAUNCH, "--configfile", *configs, "--directory", self.folder, *arguments]

    def set(self) -> str:
        """Mix a row under another gate, and no more."""
        file = self.folder / "other.yaml"
        file.write_text(yaml.safe_dump(OTHER))
        self.override = [file]
        self.run("--until", "mix_scores")
        self.override = []
        return "mix under another gate"

    def steps(self) -> list:
        damage = [self.delete, self.damage, self.copy, self.times, self.forget]
        return [*damage, *damage, self.kill, self.set]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_walk_ends_in_the_fresh_table(spare, seed: int) -> None:
    expected = tables(spare.directory)
    walk = SmokeWalk(spare.directory, random.Random(seed))
    for _ in range(STEPS):
        walk.step()
    assert finished(walk) == expected, walk.taken
