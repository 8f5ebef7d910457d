"""What a benchmark finds: figures and checks, printed as they come, then as a table."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Baseline:
    """A named value, in the figure's unit, to set a figure against."""

    name: str
    value: float
    lower_is_better: bool = True


@dataclass(frozen=True)
class Figure:
    """One measured value."""

    section: str
    name: str
    value: float
    unit: str
    baselines: tuple[Baseline, ...] = ()

    def comparison(self) -> str:
        """How many times better than each baseline; above 1 is better."""
        parts = []
        for base in self.baselines:
            pair = (base.value, self.value) if base.lower_is_better else (self.value, base.value)
            ratio = pair[0] / pair[1] if pair[1] else float("nan")
            parts.append(f"{ratio:.2f}× {base.name} ({readable(base.value)} {self.unit})")
        return ", ".join(parts)


@dataclass(frozen=True)
class Check:
    """A difference that must not exceed a tolerance; one that is not a number fails."""

    name: str
    found: float
    tolerance: float

    @property
    def holds(self) -> bool:
        return self.found <= self.tolerance

    @property
    def verdict(self) -> str:
        return "pass" if self.holds else "FAIL"


@dataclass
class Report:
    """Everything found so far. Each entry is printed when it is added."""

    figures: list[Figure] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def figure(
        self, section: str, name: str, value: float, unit: str, *baselines: Baseline
    ) -> None:
        """Add a measured value, with what to compare it with."""
        self.figures.append(Figure(section, name, value, unit, baselines))
        comparison = self.figures[-1].comparison()
        print(f"{section}: {name} {readable(value)} {unit}  {comparison}".rstrip(), flush=True)

    def check(self, name: str, found: float, tolerance: float) -> None:
        """Add a difference that must be at most `tolerance`."""
        self.checks.append(Check(name, found, tolerance))
        verdict = self.checks[-1].verdict
        print(f"{verdict}: {name}: {found:.2g}, at most {tolerance:g}", flush=True)

    def note(self, text: str) -> None:
        """Add a line of explanation, such as what was left out and why."""
        self.notes.append(text)
        print(text, flush=True)

    @property
    def failed(self) -> list[Check]:
        """The checks that do not hold."""
        return [check for check in self.checks if not check.holds]

    def tables(self) -> list[list[list[str]]]:
        """Rows of text, header first: the figures, then the checks."""
        figures = [["", "figure", "value", "unit", "ratio (above 1 is better)"]]
        for f in self.figures:
            figures.append([f.section, f.name, readable(f.value), f.unit, f.comparison()])
        checks = [["check", "difference", "at most", ""]]
        for c in self.checks:
            checks.append([c.name, f"{c.found:.2g}", f"{c.tolerance:g}", c.verdict])
        return [figures, checks]

    def markdown(self, title: str) -> str:
        """A section for a page of measurements."""
        parts = [f"## {title}", *(f"- {note}" for note in self.notes)]
        for header, *rows in self.tables():
            lines = [header, ["---"] * len(header), *rows]
            parts.append("\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines))
        return "\n".join(parts) + "\n"

    def text(self) -> str:
        """The same with aligned columns, for a terminal."""
        blocks = []
        for rows in self.tables():
            widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
            lines = (
                "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip()
                for row in rows
            )
            blocks.append("\n".join(lines))
        return "\n\n".join(blocks)


def readable(value: float) -> str:
    """Four digits that count, or whole thousands."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
