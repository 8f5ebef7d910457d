"""Models that cannot fit are refused with what would; sizes of rows as a table."""

import copy
import re
from pathlib import Path
from typing import Any

import pytest

from fairway.artifact.forecast import forecast
from fairway.stage import StageError
from fairway.workflow.config import resolve_config
from fairway.workflow.estimation import CorpusSizes
from fairway.workflow.fitting import size_faults
from fairway.workflow.sizes import as_markdown, row_sizes
from fairway.workflow.specs import Specs
from support.configs import SCHEMA, read, read_default

LIMIT = 16_000_000


@pytest.fixture(scope="module")
def fineweb() -> dict[str, Any]:
    return resolve_config(read("fineweb"), SCHEMA)


@pytest.fixture
def large(fineweb: dict[str, Any]) -> dict[str, Any]:
    """The record's models, both too large."""
    config = copy.deepcopy(fineweb)
    for name, key, blocks in (("independent", "blocks", 14), ("ebls", "shared_blocks", 12)):
        config["models"][name]["architecture"][key] = blocks
        config["models"][name]["quantization"] |= {"packed_bytes": None, "fp16_below": 65_536}
        config["models"][name]["packing"]["compressor"] = "lzma"
    return config


def test_the_shipped_configurations_fit(fineweb: dict[str, Any]) -> None:
    assert list(size_faults(fineweb)) == []
    assert list(size_faults(resolve_config(read_default(), SCHEMA))) == []


def test_what_cannot_fit_is_refused_before_anything_runs(large: dict[str, Any]) -> None:
    with pytest.raises(StageError) as caught:
        resolve_config(large, SCHEMA)
    lines = str(caught.value).splitlines()
    assert [line.split("`")[1] for line in lines] == ["models.independent", "models.ebls"]
    limit = (
        "expected less than limits.artifact_bytes, 16,000,000, less packing.room_bytes, 130,000"
    )
    assert all(limit in line for line in lines)


def test_room_for_code_is_left(fineweb: dict[str, Any]) -> None:
    """What packing would refuse after the training is refused before it."""
    config = copy.deepcopy(fineweb)
    model = config["models"]["independent"]
    model["quantization"] |= {"packed_bytes": None, "bits_per_weight": 4.9}
    low = forecast(model, 1024).low
    for more, faults in ((0, 1), (1, 0)):
        config["limits"]["artifact_bytes"] = low + model["packing"]["room_bytes"] + more
        assert len(list(size_faults(config))) == faults


def test_models_that_no_row_uses_are_not_looked_at(large: dict[str, Any]) -> None:
    large["rows"] = [row for row in large["rows"] if row["model"] == "ebls"]
    assert len(list(size_faults(large))) == 1


def test_a_limit_that_nothing_meets_says_so(fineweb: dict[str, Any]) -> None:
    config = copy.deepcopy(fineweb)
    config["limits"]["artifact_bytes"] = 1000
    for model in config["models"].values():
        model["quantization"]["packed_bytes"] = None
    assert len(list(size_faults(config))) == 2
    assert all(line.endswith("fit: no single change") for line in size_faults(config))


def test_bytes_to_fill_are_below_the_limit_with_room_for_code(fineweb: dict[str, Any]) -> None:
    config = copy.deepcopy(fineweb)
    config["models"]["ebls"]["quantization"]["packed_bytes"] = 15_870_000
    (line,) = size_faults(config)
    assert line == (
        "config key `models.ebls.quantization.packed_bytes`: 15,870,000; expected less than "
        "limits.artifact_bytes, 16,000,000, less packing.room_bytes, 130,000"
    )
    config["models"]["ebls"]["quantization"]["packed_bytes"] = 15_869_999
    assert list(size_faults(config)) == []


def test_a_memory_of_so_many_bytes_must_fit_beside_the_network() -> None:
    config = resolve_config(read_default(), SCHEMA)
    memory = config["memories"]["training"]
    memory |= {"budget": "bytes", "size": 15_500_000}
    beside, alone = size_faults(config | {"limits": {"artifact_bytes": 15_500_000}})
    network = forecast(config["models"]["ebls"], 1024)
    assert f"beside a network, models.ebls, of at least {network.low:,}; expected" in beside
    assert "15,500,000 bytes; expected less than limits.artifact_bytes, 15,500,000" in alone
    (line,) = size_faults(config)
    memory["size"] = int(re.search(r"What would fit: size: (\d+)$", line)[1])
    assert memory["size"] == LIMIT - network.high - 80_000
    assert list(size_faults(config)) == []
    for size, faults in ((LIMIT - network.low, 1), (LIMIT - network.low - 1, 0)):
        memory["size"] = size
        assert len(list(size_faults(config))) == faults
    memory |= {"budget": "all", "size": None}
    assert list(size_faults(config)) == []


def test_the_forecast_is_in_the_spec_of_packing(fineweb: dict[str, Any]) -> None:
    found = Specs(fineweb, Path("specs")).pack_artifact("ebls")["forecast"]
    expected = forecast(fineweb["models"]["ebls"], 1024)
    assert found == {"low": expected.low, "expected": expected.expected, "high": expected.high}


CORPUS = CorpusSizes(1_000_000, 100_001, "made up")


def test_rows_that_need_the_same_are_one_line() -> None:
    config = resolve_config(read_default(), SCHEMA)
    found = row_sizes(config, CORPUS, lambda network, decodable: 10 + network + 2 * decodable)
    assert [each.rows for each in found] == [
        ["neural", "exact15_adaptive", "exact15_bayes"],
        ["hashed7_empty", "hashed7", "hashed15", "hashed15_adaptive"],
        ["exact15_bayes_memory"],
        ["memory_only"],
    ]
    assert [each.code for each in found] == [13, 11, 13, 12]
    assert [each.memory for each in found] == [0, 0, 460_000, 460_000]
    assert found[3].network.expected == 0 and found[3].together(0) == 460_012
    table = as_markdown(found, LIMIT, 100)
    assert "| memory_only | 0 |  |  | 460,000 | 12 | 460,012 | 2.9% |" in table
    assert "may not fit" not in table


def test_a_memory_of_a_text_that_is_not_known_is_left_out() -> None:
    config = resolve_config(read_default(), SCHEMA)
    for budget, size, expected in (
        ("all", None, None),
        ("bytes", 5000, 5000),
        ("tokens", 1000, 460),
    ):
        config["memories"]["training"] |= {"budget": budget, "size": size}
        found = row_sizes(config, None, lambda network, decodable: 0)[2]
        assert found.memory == expected
    config["memories"]["training"] |= {"budget": "all", "size": None}
    assert "| not known |" in as_markdown(row_sizes(config, None, lambda *_: 0), LIMIT, 0)


def test_rows_that_may_not_fit_are_named() -> None:
    config = resolve_config(read_default(), SCHEMA)
    config["memories"]["training"] |= {"budget": "bytes", "size": 15_900_000}
    table = as_markdown(row_sizes(config, None, lambda *_: 0), LIMIT, 0)
    assert "It may not fit: exact15_bayes_memory." in table


def test_rows_that_may_not_fit_as_handed_in_are_named() -> None:
    found = row_sizes(resolve_config(read_default(), SCHEMA), CORPUS, lambda *_: 70_000)
    most = found[0].network.high
    table = as_markdown(found[:1], most + 100_000, 99_999)
    assert "may not fit" not in table
    table = as_markdown(found[:1], most + 100_000, 100_000)
    rows = "neural, exact15_adaptive, exact15_bayes"
    assert "It may not fit as handed in (`./run submission`), with 100,000 bytes of code" in table
    assert table.endswith(f"and its settings: {rows}.\n")
    assert "handed in" not in as_markdown(found[3:], 10, 100_000), "it has no network"
