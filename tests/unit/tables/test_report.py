"""The report: one file that needs nothing else, all its sections, figures the same each time."""

import itertools
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from fairway.gates.match import match_gate
from fairway.tables.report import row_figures
from fairway.tables.report.model_figures import training_curves
from fairway.tables.report.page import page
from fairway.tables.report.sections import differences, sections, settings_table
from fairway.tables.report.style import INK, file_png, file_svg, inline_svg, styled
from support.made_up_run import made_up_run

SETTINGS = settings_table({"models.ebls.training.steps": (5, 600)})
PROVENANCE = [["what", "value"], ["spec", "0" * 64]]


class Balance(HTMLParser):
    """Opens and closes every tag; `faults` are those that do not match."""

    VOID = ("meta", "br", "path", "use", "rect", "link")

    def __init__(self):
        super().__init__()
        self.open, self.faults = [], []

    def handle_starttag(self, tag, attributes):
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.VOID and (not self.open or self.open.pop() != tag):
            self.faults.append(tag)


@pytest.fixture(scope="module")
def shown():
    return list(sections(made_up_run()))


@pytest.fixture(scope="module")
def html(shown) -> str:
    return page("A run", "Two rows <of> text.", shown, SETTINGS, PROVENANCE)


def test_every_part_has_its_section(shown):
    titles = [section.title for section in shown]
    assert titles == [
        *("The ladder", "Is it a code length?", "Beyond noise?", "Bytes", "By matched order"),
        *("Along the text", "Gates", "Calibration", "Training: ebls", "Quantising: ebls"),
        *("Bytes: ebls", "Time"),
    ]
    assert all(len(section.words) > 60 for section in shown), "words stand beside each picture"


def test_the_page_needs_nothing_else(html):
    without_namespaces = re.sub(r'xmlns[:\w]*="[^"]*"', "", html)
    assert not re.search(r"https?:|<script|<link|@import|url\((?!#)", without_namespaces)
    assert 'name="viewport"' in html and "prefers-color-scheme: dark" in html


def test_the_page_is_whole(html):
    parser = Balance()
    parser.feed(html)
    assert parser.faults == [] and parser.open == []
    assert html.count("<svg") == html.count('role="img"') == 13
    assert "Two rows &lt;of&gt; text." in html and "models.ebls.training.steps" in html


def test_a_picture_without_some_rows_says_so(shown, monkeypatch):
    assert not any("are drawn" in section.words for section in shown if section.title != "Gates")
    monkeypatch.setattr(row_figures, "MOST_LINES", 2)
    words = {section.title: section.words for section in sections(made_up_run())}
    for title in ("Along the text", "Calibration"):
        assert words[title].endswith(" Of 3 rows the last 2 are drawn.")


def test_gates_are_drawn_at_orders_that_their_cache_has():
    settings = {"kind": "order_adaptive", "threshold_low_order": 4, "threshold_high_order": 2}
    with styled():
        figure = row_figures.gate_curves({"g": (match_gate(settings, 7, False), 7)}, (2, 5, 10))
    labels = figure.axes[0].get_legend_handles_labels()[1]
    assert sorted(labels) == ["g, order 2", "g, order 5", "g, order 7"]


def test_one_seed_and_given_scores_say_of_which_noise_they_speak():
    table = list(sections(made_up_run(seeds=[1])))[2].table
    verdicts = {(line[0], line[1]): line[-1] for line in table}
    assert verdicts["exact", "hashed"] == "beyond noise of documents"
    assert verdicts["exact", "published"].startswith(("beyond noise of seeds", "within noise (s"))


def test_tables_show_the_figures_of_the_run(html):
    for cell in (
        "1.7000",
        "0.8000",
        "135.6",
        "3.5000",
        "no",
        "4,096 bytes",
        "hashed (scorer)",
        "258,452",
        "19.1%",
        "within noise (seeds)",
    ):
        assert f">{cell}<" in html, cell


def test_pictures_take_the_pages_colour_and_files_do_not(shown):
    label, figure = shown[0].figures["ladder"]
    inline = inline_svg(figure, label)
    assert "currentColor" in inline and INK not in inline and "width=" not in inline[:120]
    assert b"currentColor" not in file_svg(figure) and file_png(figure)[:4] == b"\x89PNG"


def test_the_same_figure_gives_the_same_bytes():
    run = made_up_run()
    found = []
    for _ in range(2):
        with styled():
            figure = row_figures.along_text(run.profiles)
        found.append((file_svg(figure), inline_svg(figure, "x"), file_png(figure)))
    assert found[0] == found[1]


def test_identifiers_of_two_pictures_on_a_page_do_not_clash(html):
    """Clip paths are named by matplotlib; a name that two pictures share must mean the same."""
    named: dict[str, set] = {}
    for name, content in re.findall(r'<clipPath id="(\w+)">(.*?)</clipPath>', html, re.DOTALL):
        named.setdefault(name, set()).add(re.sub(r"\s+", " ", content))
    assert named and all(len(contents) == 1 for contents in named.values())


def test_one_seed_has_no_intervals():
    run = made_up_run(seeds=[1])
    shown = list(sections(run))
    assert shown[0].table[1][2] == "" and len(shown) == 12


def test_a_row_alone_has_neither_gates_nor_orders():
    run = made_up_run(rows=["neural"])
    titles = [section.title for section in sections(run)]
    assert "Gates" not in titles and "By matched order" not in titles


def test_differences_of_two_configurations():
    own = {"a": {"b": 1, "c": [1, 2]}, "d": 5}
    default = {"a": {"b": 1, "c": [1], "e": None}, "d": 5, "f": 2}
    assert differences(own, default) == {"a.c": ([1, 2], [1]), "f": (None, 2)}
    assert settings_table({"f": (None, "x" * 200)})[1][1:] == ["—", "x" * 117 + "…"]


def test_calibration_bins_that_are_empty_are_left_out():
    with styled():
        figure = row_figures.calibration({"a": np.array([[10, 5, 6], [4, 0.9, 0], [0, 0, 0]])})
    assert len(figure.axes[0].lines) >= 2
    assert isinstance(file_svg(figure), bytes)


def test_the_waterfall_goes_from_row_to_row():
    run = made_up_run()
    with styled():
        figure = row_figures.ladder(run.summary, run.seeds, dict.fromkeys(run.profiles, (1, 2)))
    bars = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in figure.axes[0].patches]
    expected = pd.Series(run.summary["bpb_mean"]).tolist()
    assert np.allclose(bars, list(itertools.pairwise(expected)))


def test_the_packed_weights_stand_at_the_end_of_their_training_curve():
    axes = training_curves(made_up_run().models["ebls"].metrics, {2: 3.5}).axes[0]
    ends = [line.get_xydata().tolist() for line in axes.lines if len(line.get_xdata()) == 1]
    assert ends == [[[20, 3.5]]]
    run = made_up_run()
    run.config["rows"][0] |= {"cache": "none", "gate": "none"}
    own = run.seeds[run.seeds["row"] == "neural"]
    section = next(s for s in sections(run) if s.title == "Training: ebls")
    drawn = section.figures["training_ebls"][1].axes[0].lines
    found = [line.get_ydata()[0] for line in drawn if len(line.get_xdata()) == 1]
    assert found == pytest.approx((own["nats"] / own["targets"]).tolist())


def test_raw_and_averaged_weights_are_drawn_and_told():
    run = made_up_run(seeds=[1, 2])
    section = next(s for s in sections(run) if s.title == "Training: ebls")
    drawn = section.figures["averages_ebls"][1].axes[0].lines
    assert [line.get_linestyle() for line in drawn] == ["--", "-"] * 2
    assert [list(line.get_ydata()) for line in drawn] == [[6.0, 5.0], [5.75, 4.75]] * 2
    assert "512 tokens of training text, which step 20 has learned from" in section.words
    assert "the averages pay 0.2500 nats per token less (mean of seeds)" in section.words
    for metrics in run.models["ebls"].metrics.values():
        metrics.compared.clear()
    section = next(s for s in sections(run) if s.title == "Training: ebls")
    assert set(section.figures) == {"training_ebls", "speed_ebls"}
    assert "second picture" not in section.words
