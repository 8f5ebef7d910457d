"""The page: sections as one HTML file that needs nothing else, on any screen, light or dark."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import jinja2
from matplotlib.figure import Figure

from fairway.tables.report.style import inline_svg

TEMPLATE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{{ title }}</title>
<style>
:root { --ink: #1d2125; --soft: #5b646d; --page: #fbfbfa; --card: #ffffff; --line: #dfe2e5; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e7ea; --soft: #9aa4ae; --page: #15181b; --card: #1d2125; --line: #343a40; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 24px 16px 64px; }
h1 { font-size: 1.7rem; margin: 0 0 4px; }
h2 { font-size: 1.2rem; margin: 0 0 6px; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 18px 20px; margin-top: 18px; }
p { margin: 0 0 12px; max-width: 74ch; }
.soft { color: var(--soft); font-size: .9rem; }
.figures { display: grid; gap: 20px; justify-content: start;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 440px), 500px)); }
figure { margin: 0; min-width: 0; }
figure svg { width: 100%; height: auto; display: block; }
figure svg text { font-family: inherit; }
.scroll { overflow-x: auto; margin-bottom: 14px; }
table { border-collapse: separate; border-spacing: 0; font-size: .9rem; line-height: 22px;
  font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 4px 12px; border-bottom: 1px solid var(--line);
  white-space: nowrap; }
th:first-child, td:first-child { text-align: left; padding-left: 0; position: sticky; left: 0;
  background: var(--card); }
.left td, .left th { text-align: left; white-space: normal; overflow-wrap: anywhere; }
.left td:first-child { overflow-wrap: normal; }
th { color: var(--soft); font-weight: 600; }
code { font-size: .85rem; overflow-wrap: anywhere; }
@media (max-width: 600px) {
  main { padding: 16px 8px 48px; }
  section { padding: 14px 12px; }
  table { font-size: .8rem; line-height: 20px; }
  th, td { padding: 4px 7px; }
}
</style>
</head>
<body>
<main>
<h1>{{ title }}</h1>
<p class="soft">{{ lead }}</p>
{% for section in sections %}
<section>
<h2>{{ section.title }}</h2>
<p>{{ section.words }}</p>
{% if section.table %}{{ cells(section.table) }}{% endif %}
{% if section.figures %}
<div class="figures">
{% for label, figure in section.figures.values() %}
<figure>{{ picture(figure, label) }}</figure>
{% endfor %}
</div>
{% endif %}
</section>
{% endfor %}
<section>
<h2>Settings</h2>
<p>{{ settings_words }}</p>
{% if settings|length > 1 %}{{ cells(settings, "left") }}{% endif %}
</section>
<section>
<h2>Made from</h2>
<p>Hashes are SHA-256. The same hashes, versions and settings give the same table.</p>
{{ cells(provenance, "left") }}
</section>
</main>
</body>
</html>
"""

CELLS = """\
<div class="scroll"><table class="{{ style }}">
<thead><tr>{% for cell in rows[0] %}<th>{{ cell }}</th>{% endfor %}</tr></thead>
<tbody>{% for row in rows[1:] %}
<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>{% endfor %}
</tbody></table></div>
"""


@dataclass
class Section:
    """figures: by file name, (what it shows, the figure). table: header, then rows of cells."""

    title: str
    words: str
    figures: dict[str, tuple[str, Figure]] = field(default_factory=dict)
    table: list[list[str]] = field(default_factory=list)


def page(
    title: str,
    lead: str,
    sections: Sequence[Section],
    settings: list[list[str]],
    provenance: list[list[str]],
) -> str:
    """The HTML. lead: a sentence under the title; settings, provenance: cells, header first."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    cells = environment.from_string(CELLS)

    def as_table(rows: list[list[str]], style: str = "") -> Any:
        return jinja2.utils.markupsafe.Markup(cells.render(rows=rows, style=style))

    def as_picture(figure: Any, label: str) -> Any:
        return jinja2.utils.markupsafe.Markup(inline_svg(figure, label))

    changed = len(settings) - 1
    words = f"{changed} keys differ from the default." if changed else "The default configuration."
    return environment.from_string(TEMPLATE).render(
        title=title,
        lead=lead,
        sections=sections,
        settings=settings,
        settings_words=words,
        provenance=provenance,
        cells=as_table,
        picture=as_picture,
    )
