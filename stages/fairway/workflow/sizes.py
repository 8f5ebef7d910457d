"""What the rows of a configuration are expected to take of the bytes allowed.

Network, memory and code, as `pack_row` counts them. The network's is a forecast from its settings
(`fairway.artifact.forecast`); the memory's is as exact as what is known of the text; the code is
there already.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fairway.artifact.forecast import Forecast, forecast
from fairway.rows.entry import NONE
from fairway.workflow.config import is_decodable
from fairway.workflow.estimation import CorpusSizes, memory_bytes

Config = Mapping[str, Any]
Code = Callable[[bool, bool], int]
"""Bytes of a row's packed code, from whether it has a network and whether it can be decoded."""
NOTHING = Forecast(0, 0, 0, {}, 0.0)


@dataclass(frozen=True)
class RowSizes:
    """Expected bytes of rows that need the same. memory: None if the text is not known."""

    rows: list[str]
    network: Forecast
    memory: int | None
    code: int

    def together(self, network: int, code: int | None = None) -> int:
        """With a network of so many bytes; a memory that is not known is left out.

        code: in place of the row's own.
        """
        return network + (self.memory or 0) + (self.code if code is None else code)


def row_sizes(config: Config, corpus: CorpusSizes | None, code: Code) -> list[RowSizes]:
    """The expected sizes of all rows, in their order, those that need the same together."""
    found: dict[tuple, RowSizes] = {}
    for row in config["rows"]:
        model, decodable = row["model"], is_decodable(config, row)
        memory = config["caches"].get(row["cache"], {}).get("memory")
        key = model, memory, decodable
        if key not in found:
            network = NOTHING if model == NONE else _network(config, model)
            size = memory_bytes(config["memories"][memory], corpus) if memory else 0
            found[key] = RowSizes([], network, size, code(model != NONE, decodable))
        found[key].rows.append(row["name"])
    return list(found.values())


def _network(config: Config, model: str) -> Forecast:
    return forecast(config["models"][model], config["corpus"]["vocabulary"])


def as_markdown(sizes: list[RowSizes], limit: int, script: int) -> str:
    """The sizes as a table, and what they lie below; script: bytes of what is handed in."""
    return "\n".join(_lines(sizes, limit, script)) + "\n"


def _lines(sizes: list[RowSizes], limit: int, script: int) -> Iterator[str]:
    yield (
        "| rows | network | between | bits per weight | memory | code | together | of the limit |"
    )
    yield "|---|--:|--:|--:|--:|--:|--:|--:|"
    for each in sizes:
        network, memory = each.network, "not known"
        if each.memory is not None:
            memory = f"{each.memory:,}"
        between = f"{network.low:,} to {network.high:,}" if network.expected else ""
        bits = f"{network.bits_per_weight:.2f}" if network.expected else ""
        together = each.together(network.expected)
        yield (
            f"| {', '.join(each.rows)} | {network.expected:,} | {between} | {bits} | "
            f"{memory} | {each.code:,} | {together:,} | {together / limit:.1%} |"
        )
    yield ""
    yield (
        f"Bytes; the limit is {limit:,}. Networks are forecast from their settings, memories from "
        "the number of tokens; code is as it is now, packed. Bits are of a network's integers."
    )
    for each in sizes:
        if each.together(each.network.high) >= limit:
            yield f"\nIt may not fit: {', '.join(each.rows)}."
        elif each.network.expected and each.together(each.network.high, script) >= limit:
            yield (
                f"\nIt may not fit as handed in (`./run submission`), with {script:,} bytes of "
                f"code that trains and scores it, and its settings: {', '.join(each.rows)}."
            )
