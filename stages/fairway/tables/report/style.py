"""How figures look: one size for page and phone, colours that hold on white and on black."""

import io
import re

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

WIDTH = 4.7  # inches; a phone shows it at about its own size, a wide page two side by side
PNG_DPI = 160
BLUE, GREEN, YELLOW, RED, GREY = "#4c86e8", "#2fa37c", "#c9a021", "#d2546a", "#8d929c"
PALETTE = [BLUE, "#e0793a", GREEN, "#b565c9", YELLOW, RED, "#45a5b8", GREY]
INK = "#010203"  # a colour that nothing else has: becomes the page's text colour
STYLE = {
    "font.size": 9,
    "font.family": "sans-serif",
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "svg.fonttype": "none",
    "svg.hashsalt": "fairway",  # the same figure always gives the same file
    "figure.facecolor": "none",
    "axes.facecolor": "none",
}


def styled():
    """Context in which figures are made and drawn."""
    return matplotlib.rc_context(STYLE)


def new_figure(height: float) -> tuple[Figure, Axes]:
    """A figure of the common width with one pair of axes. height: inches."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, figure.add_subplot()


def color(index: int) -> str:
    """The colour of the index-th row."""
    return PALETTE[index % len(PALETTE)]


def grid(axes: Axes, axis: str = "both") -> None:
    """Faint lines behind the data."""
    axes.grid(axis=axis, color=INK, alpha=0.12, linewidth=0.7)
    axes.set_axisbelow(True)


def legend(axes: Axes, columns: int = 2) -> None:
    """The legend above the axes, where it hides nothing."""
    handles, _ = axes.get_legend_handles_labels()
    if handles:
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=columns, borderaxespad=0.2)


def inline_svg(figure: Figure, label: str) -> str:
    """The figure as SVG inside a page: as wide as its place, in the page's text colour.

    label: what the picture shows, for those who cannot see it.
    """
    svg = _saved(figure, "svg").decode()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = svg.replace(INK, "currentColor")
    width, height = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg).groups()
    head = f'<svg role="img" aria-label="{label}" viewBox="0 0 {width} {height}" '
    return re.sub(
        r"<svg [^>]*>", head + 'xmlns:xlink="http://www.w3.org/1999/xlink">', svg, count=1
    )


def file_svg(figure: Figure) -> bytes:
    """The figure as an SVG file, black on white."""
    return _on_white(figure, "svg").replace(INK.encode(), b"#222222")


def file_png(figure: Figure) -> bytes:
    """The figure as a PNG file, black on white."""
    return _on_white(figure, "png")


def _on_white(figure: Figure, kind: str) -> bytes:
    figure.set_facecolor("white")
    content = _saved(figure, kind)
    figure.set_facecolor("none")
    return content


def _saved(figure: Figure, kind: str) -> bytes:
    content = io.BytesIO()
    metadata = {"Date": None} if kind == "svg" else {"Software": None}
    with styled():
        figure.savefig(content, format=kind, dpi=PNG_DPI, metadata=metadata)
    figure.set_layout_engine("none")  # it is laid out, and for every kind of file alike
    return content.getvalue()
