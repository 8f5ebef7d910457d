"""The report's sections about a model: its training, its quantising, what its bytes are for."""

from collections.abc import Iterator

from fairway.rows.entry import NONE
from fairway.tables.metrics import Metrics
from fairway.tables.report import model_figures
from fairway.tables.report.data import Run
from fairway.tables.report.page import Section


def model_sections(run: Run, model: str) -> Iterator[Section]:
    """All sections about a model, in the order of the page."""
    yield _training(run, model)
    yield _quantising(run, model)
    yield _bytes(run, model)


def _training(run: Run, model: str) -> Section:
    metrics = run.models[model].metrics
    words = (
        "Each line is a seed: what the raw weights pay for a batch before learning from it. Late "
        "steps run with fake-quantised weights, which may show as a small step up. The final "
        "weights are averages (EMA, and SWA of late steps); a diamond is what these, packed, pay "
        "for the validation text. The dotted line is the learning rate's scale."
    )
    figures = {}
    has_steps = any(of_seed.steps for of_seed in metrics.values())
    if has_steps:
        figure = model_figures.training_curves(metrics, _packed_nats(run, model))
        figures[f"training_{model}"] = ("Training loss over steps", figure)
    if any(of_seed.compared for of_seed in metrics.values()):
        words += _comparison_words(metrics)
        picture = "Loss of raw and of averaged weights over steps"
        figures[f"averages_{model}"] = (picture, model_figures.raw_and_averaged(metrics))
    if has_steps:
        figure = model_figures.training_speed(metrics)
        figures[f"speed_{model}"] = ("Tokens a second over steps", figure)
    return Section(f"Training: {model}", words, figures)


def _quantising(run: Run, model: str) -> Section:
    words = (
        "The output error of every matrix on calibration text, relative to its outputs. GPTQ lets "
        "later columns make good the rounding of earlier ones; the gap to the grey dots is what "
        "that is worth."
    )
    figure = model_figures.quantisation_error(run.models[model].layers)
    figures = {f"quantisation_{model}": ("Relative error by matrix", figure)}
    return Section(f"Quantising: {model}", words, figures)


def _bytes(run: Run, model: str) -> Section:
    ledger = run.models[model].ledger
    parts = {name: size["packed"] for name, size in ledger["sections"].items() if size["packed"]}
    parts["room"] = ledger["room_bytes"]
    words = (
        f"{ledger['total_bytes']:,} of {ledger['limit_bytes']:,} bytes are used, "
        f"{ledger['headroom_bytes']:,} are left. Of the model each section is compressed by "
        "itself; the room is left for what rows need beside it, code and memory, which their own "
        "ledgers count."
    )
    figure = model_figures.ledger_bar(parts, ledger["limit_bytes"])
    return Section(
        f"Bytes: {model}", words, {f"bytes_{model}": ("Bytes by what they are", figure)}
    )


def _comparison_words(metrics: dict[int, Metrics]) -> str:
    """What raw and averaged weights were measured on, and how far apart they end."""
    lines = [line for found in metrics.values() for line in found.compared]
    last = [found.compared[-1] for found in metrics.values() if found.compared]
    gain = sum(line.raw_loss - line.averaged_loss for line in last) / len(last)
    text = f"{max(line.tokens for line in lines):,} tokens of training text"
    seen = [line.step for line in lines if not line.unseen]
    text += f", which step {min(seen)} has learned from" if seen else " that no step learned from"
    return (
        f" The second picture is of one text at all steps, {text}: dashed by the raw weights, "
        "solid by what would be the final ones if the training ended there, neither "
        f"fake-quantised. At the end the averages pay {abs(gain):.4f} nats per token "
        f"{'less' if gain >= 0 else 'more'} (mean of seeds)."
    )


def _packed_nats(run: Run, model: str) -> dict[int, float]:
    """Nats per token of the validation text by seed, from the row of a model without a cache."""
    own = (model, NONE)
    rows = [row["name"] for row in run.config["rows"] if (row["model"], row["cache"]) == own]
    lines = run.seeds[run.seeds["row"].isin(rows[:1])]
    return dict(zip(lines["seed"].astype(int), lines["nats"] / lines["targets"], strict=True))
