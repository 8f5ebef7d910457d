"""What `snakemake --report` shows first: the run's own page, where it is in the report."""

import re
from types import SimpleNamespace

import jinja2
from docutils.core import publish_parts
from snakemake.report.html_reporter.common import get_result_uri

from fairway.closure import STAGES

DESCRIPTION = STAGES.parent / "docs" / "workflow.rst"


def first_page(*files: SimpleNamespace) -> str:
    """The description of the workflow, made into HTML as Snakemake makes it."""
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    text = environment.from_string(DESCRIPTION.read_text()).render(files=files, categories={})
    return publish_parts(text, writer_name="html", settings_overrides={"halt_level": 2})["body"]


def test_the_run_s_page_is_within_the_first_page():
    page = SimpleNamespace(id="b98e", filename="index.html", path="results/figures/index.html")
    sweep = SimpleNamespace(id="c0de", filename="buckets.png", path="results/sweeps/buckets.png")
    html = first_page(sweep, page)
    assert f'<iframe src="{get_result_uri(page, mode_embedded=False)}"' in html
    assert html.count("<iframe") == 1 and "c0de" not in html


def test_without_it_the_first_page_says_how_to_have_it():
    html = first_page()
    assert "<iframe" not in html and "<style" not in html
    assert "./run --report report.zip report" in re.sub(r"<[^>]*>", "", html)
