"""docs/architecture.md is as true as can be told by a program: its picture and its paths.

The links of all pages, too.
"""

import re
from pathlib import Path

import pytest

from fairway.closure import STAGES, import_closure

LIBRARY = STAGES / "fairway"
ROOT = STAGES.parent
PAGES = [ROOT / name for name in ("docs/architecture.md", "README.md")]
LINKED = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("*/README.md")])
WITHOUT_BOX = {"progress": "stage", "json_text": "stage", "start": "stage"}
WITHOUT_BOX |= {"bundle": "closure", "unbundle": "closure"}


def arrows() -> dict[str, set[str]]:
    """What each box of the picture points to."""
    picture = re.search(r"```mermaid(.*?)```", PAGES[0].read_text(), re.DOTALL)[1]
    found = re.findall(r"^  (\w+)\[.*?\](?: --> (.*))?$", picture, re.MULTILINE)
    return {box: set(to.split(" & ")) - {""} for box, to in found}


def reached(box: str, arrows: dict[str, set[str]]) -> set[str]:
    """All that can be reached from a box, itself included."""
    return {box}.union(*(reached(below, arrows) for below in arrows[box]))


def box_of(file: Path) -> str:
    name = file.relative_to(LIBRARY).parts[0].removesuffix(".py")
    return WITHOUT_BOX.get(name, name)


def test_the_picture_has_every_import():
    picture = arrows()
    for file in LIBRARY.rglob("*.py"):
        if file.parent == LIBRARY and file.name == "__init__.py":
            continue
        allowed = reached(box_of(file), picture)
        for used in import_closure(file):
            if LIBRARY in used.parents and used != LIBRARY / "__init__.py":
                assert box_of(used) in allowed, f"{file} imports {used}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_is_named_is_there(page):
    places = [ROOT, STAGES, LIBRARY]
    for name in re.findall(r"`([\w/]+\.(?:py|yaml|smk|md))`", page.read_text()):
        if name in ("mine.yaml", "stages/verb_noun.py") or name.startswith("results/"):
            continue
        whole = any((place / name).is_file() for place in places)
        assert whole or list(LIBRARY.rglob(name)), f"{page}: {name}"


@pytest.mark.parametrize("page", LINKED, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file(page):
    for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
        assert target.startswith("https://") or (page.parent / target).exists(), target
