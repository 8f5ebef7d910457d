"""The configuration's faults are one line each, and defaults are filled in."""

import copy
import subprocess
import sys

import pytest
import yaml

from fairway.stage import StageError
from fairway.workflow.config import resolve_config
from fairway.workflow.layers import put_together
from support.configs import ROOT, SCHEMA, read


@pytest.fixture
def config() -> dict:
    return yaml.safe_load((ROOT / "config.yaml").read_text())


def put(config: dict, path: str, value: object) -> None:
    """Set the value at a dotted path; None takes the key away."""
    *parents, last = (int(name) if name.isdigit() else name for name in path.split("."))
    place = config
    for name in parents:
        place = place[name]
    place[last] = value
    if value is None:
        del place[last]


def fault(config: dict) -> str:
    with pytest.raises(StageError) as caught:
        resolve_config(config, SCHEMA)
    return str(caught.value)


STACKS = [
    ["smoke"],
    ["counts_only"],
    ["fineweb_slice"],
    ["fineweb"],
    ["fineweb", "published_packing"],
    ["fineweb", "download"],
    ["fineweb", "download", "shrunk"],
]


def test_every_shipped_file_is_in_a_stack():
    files = {path.stem for path in ROOT.glob("config/*.yaml")} - {"schema"}
    assert files == {name for stack in STACKS for name in stack}


@pytest.mark.parametrize("names", [[], *STACKS], ids="+".join)
def test_shipped_configurations_are_valid(config, names):
    resolve_config(put_together([config, *map(read, names)]), SCHEMA)


@pytest.mark.parametrize("name", ["ebls", "independent"])
def test_record_takes_nothing_from_the_default_or_the_schema(name):
    record = read("fineweb")
    resolved = resolve_config(record, SCHEMA)
    assert resolved["models"][name] == record["models"][name]
    assert {row["model"] for row in record["rows"]} == set(record["models"])


def test_defaults_come_from_the_schema(config):
    resolved = resolve_config(config, SCHEMA)
    assert resolved["caches"]["hashed7"]["prefill"] is True
    assert resolved["caches"]["hashed7_empty"]["prefill"] is False
    assert "prefill" not in config["caches"]["hashed7"], "the caller's config is left alone"


def test_two_ways_to_choose_steps_are_refused_before_anything_runs(config):
    config["models"]["ebls"]["quantization"]["clip_sigmas"] = [8.0, 20.0]
    assert fault(config) == (
        "config key `models.ebls.quantization.clip_sigmas`: [8.0, 20.0] beside bits_per_weight "
        "4.0; expected one of them, the other null"
    )


def test_fewer_bits_than_any_steps_take_are_refused_before_anything_runs(config):
    config["models"]["ebls"]["quantization"]["bits_per_weight"] = 1.2
    assert fault(config) == (
        "config key `models.ebls.quantization.bits_per_weight`: 1.2; expected at least 1.25, as "
        "even the coarsest steps may take so many"
    )


def test_pruning_is_for_int6_alone(config):
    model = config["models"]["ebls"]
    model["packing"]["prune_fraction"] = 0.02
    refusal = (
        "config key `models.ebls.packing.prune_fraction`: 0.02; expected 0 beside "
        "quantization.{}, since a search has no int6 weights; fewer bits make it smaller"
    )
    assert fault(config) == refusal.format("bits_per_weight")
    model["quantization"] |= {"bits_per_weight": None, "packed_bytes": 600_000}
    assert fault(config) == refusal.format("packed_bytes")
    for clips in ([8.0, 20.0], None):  # None: percentiles
        model["quantization"] |= {"packed_bytes": None, "clip_sigmas": clips}
        assert resolve_config(config, SCHEMA)["models"]["ebls"]["packing"] == model["packing"]


def test_unknown_key_names_the_nearest(config):
    config["gates"]["uniform"]["treshold"] = config["gates"]["uniform"].pop("threshold")
    text = fault(config)
    assert "gates.uniform.treshold" in text and "did you mean `threshold`" in text


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("models.ebls.training.steps", "many", "expected integer"),
        ("models.ebls.training.muon_lr", "1e-3", "expected finite number, not text"),
        ("models.ebls.architecture.layers", "sharde", "did you mean `shared`"),
        ("caches.hashed7.kind", "hash", "did you mean `hashed`"),
        ("gates.adaptive.kind", "order_adaptiv", "did you mean `order_adaptive`"),
        ("corpus.val_fraction", 1.5, "corpus.val_fraction"),
        ("ranks", 0, "`ranks`"),
        ("proof.bytes", "al", "'al'; expected integer, or did you mean `all`?"),
        ("proof.bytes", 0, "0; expected at least 1, or expected all"),
        ("seeds", [1, 1], "each seed once"),
        ("rows.0.name", 101 * "r", "expected at most 100 characters"),
    ],
)
def test_wrong_value_names_key_and_expectation(config, path, value, expected):
    put(config, path, value)
    text = fault(config)
    assert expected in text and len(text.splitlines()) == 1


LOOPED, TRAINED = "models.ebls.architecture", "models.ebls.training"


@pytest.mark.parametrize(
    ("path", "value", "line"),
    [
        ("windows.stride", 257, "`windows.stride`: 257; expected 1 to windows.length (256)"),
        (
            f"{LOOPED}.rope_context",
            255,
            [
                "`models.ebls.training.sequence`: 256; expected at most architecture.rope_context",
                "`windows.length`: 256; expected at most models.ebls.architecture.rope_context (2",
            ],
        ),
        (f"{LOOPED}.heads", 3, f"`{LOOPED}.heads`: 3; expected a divisor of width 128"),
        (f"{LOOPED}.kv_heads", 3, f"`{LOOPED}.kv_heads`: 3; expected a divisor of 4"),
        (f"{LOOPED}.width", 130, f"`{LOOPED}.heads`: 4; expected a divisor of width 130"),
        (f"{LOOPED}.rope_dims", 34, f"`{LOOPED}.rope_dims`: 34; expected an even number up to"),
        (f"{LOOPED}.bigram_rows", None, f"`{LOOPED}.bigram_rows`: missing with layers: shared"),
        (f"{LOOPED}.loops", None, f"`{LOOPED}.loops`: missing with layers: shared"),
        (f"{LOOPED}.blocks", 3, f"`{LOOPED}.blocks`: unknown with layers: shared"),
        (f"{LOOPED}.layers", "independent", f"`{LOOPED}.blocks`: missing with layers: indep"),
        (f"{LOOPED}.value_embedding_layers", [3], "[3]; expected layers 0 to 2"),
        (f"{LOOPED}.lora_rank", 129, f"`{LOOPED}.lora_rank`: 129; expected 1 to width 128"),
        (f"{TRAINED}.batch_tokens", 2000, "2000; expected a multiple of 8 × sequence = 2048"),
        (f"{TRAINED}.adam_betas", [0.9, 1.0], "(0.9, 1.0); expected from 0 to below 1"),
        (f"{TRAINED}.qat_sharpness", [0, 1], f"`{TRAINED}.qat_sharpness[0]`: 0; expected more"),
        ("caches.hashed7.buckets", 1000, "`caches.hashed7.buckets`: 1000; expected a power of"),
        ("caches.hashed7.buckets", 1 << 32, "; expected at most 2147483648"),
        ("caches.hashed7.buckets", None, "`caches.hashed7.buckets`: None; expected a whole"),
        ("caches.hashed7.min_order", 8, "`caches.hashed7.min_order`: 8; expected a whole number"),
        ("caches.hashed7.max_order", 65, "`caches.hashed7.max_order`: 65; expected a whole"),
        ("caches.hashed7.update", "token", "`caches.hashed7.update`: token; expected segment"),
        ("caches.unused", {"kind": "hashed", "max_order": 3}, "`caches.unused.buckets`: None"),
        ("caches.exact15.buckets", 1024, "`caches.exact15.buckets`: 1024; expected None"),
        ("gates.uniform.alpha_span", 0.95, "`gates.uniform`: alpha from 0.05 to 1.0; expected"),
        (
            "gates.kin.continuation_orders",
            15,
            [
                f"`gates.kin.continuation_orders`: 15; expected 0 to 14 (row {row} with cache"
                for row in ("exact15_bayes_memory", "memory_only")
            ],
        ),
        ("caches.exact15_orders.min_order", 4, "`gates.bayes.continuation_orders`: 2; the cache"),
        ("caches.exact15_memory.memory", "trainin", "did you mean `training`?"),
        ("caches.exact15_memory.prefill", False, "`caches.exact15_memory.prefill`: False; expect"),
        ("memories.training.size", 5, "`memories.training.size`: 5; expected None"),
        ("memories.training.budget", "tokens", "`memories.training.size`: None; expected a whole"),
        ("memories.none", {"budget": "all"}, "`memories.none`: the name `none` is reserved"),
        ("rows.3.claim", "code_length", "`rows.3 (hashed15).claim`: code_length; expected none"),
    ],
)
def test_value_that_a_stage_would_refuse_is_refused_first(config, path, value, line):
    put(config, path, value)
    lines = fault(config).splitlines()
    wanted = [line] if isinstance(line, str) else line
    assert len(lines) == len(wanted) and all(map(str.__contains__, lines, wanted)), lines
    assert all(found.startswith("config key `") for found in lines)


def test_hashed_cache_of_every_order_is_refused(config):
    config["caches"]["hashed7"]["output"] = "orders"
    config["rows"] = [{"name": "a", "model": "ebls", "cache": "none", "gate": "none"}]
    assert fault(config) == "config key `caches.hashed7.output`: orders; expected match"


def test_windows_only_have_to_fit_models_that_are_used(config):
    short = copy.deepcopy(config["models"]["ebls"])
    short["architecture"]["rope_context"] = short["training"]["sequence"] = 128
    config["models"]["short"] = short
    resolve_config(config, SCHEMA)
    config["rows"][0]["model"] = "short"
    assert "models.short.architecture.rope_context (128)" in fault(config)


def test_reading_the_configuration_stays_quick():
    """What takes long to import would be imported at every start of Snakemake, jobs included."""
    program = "import sys; import fairway.workflow.plan; print(*sys.modules)"
    environment = {"PYTHONPATH": str(ROOT / "stages")}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "fairway.workflow.config" in loaded and not loaded & {
        "numba",
        "numpy",
        "torch",
        "pandas",
    }


@pytest.mark.parametrize("key", ["model", "cache", "gate"])
def test_row_naming_something_missing(config, key):
    row = next(row for row in config["rows"] if row["gate"] == "adaptive")
    row[key] += "x"
    text = fault(config)
    assert f"{key}`: '{row[key]}' is not in `{key}s`" in text and "did you mean" in text


def test_row_name_used_twice(config):
    config["rows"].append(copy.deepcopy(config["rows"][0]))
    assert "used twice" in fault(config)


def test_row_names_that_differ_only_in_case_would_be_one_file(config):
    config["rows"].append(config["rows"][0] | {"name": "Neural"})
    place = f"rows.{len(config['rows']) - 1} (Neural)"
    text = fault(config)
    assert text.startswith(f"config key `{place}`: like `neural` but for upper and lower case")
    assert len(text.splitlines()) == 1


def test_a_reference_is_not_named_like_a_row(config):
    config["references"] = {"published": [1.0], config["rows"][1]["name"]: [1.0]}
    text = fault(config)
    assert text.startswith(f"config key `references.{config['rows'][1]['name']}`: the name of a r")
    assert len(text.splitlines()) == 1


@pytest.mark.parametrize("section", ["models", "caches", "memories", "sweeps"])
def test_entries_that_name_files_differ_not_only_in_case(config, section):
    name = next(iter(config[section]))
    config[section][name.upper()] = copy.deepcopy(config[section][name])
    assert f"`{section}.{name.upper()}`: like `{name}` but for" in fault(config)


def test_gate_without_the_counts_it_needs(config):
    bayes = next(row for row in config["rows"] if row["gate"] == "bayes")
    bayes["cache"] = "exact15"
    assert "needs `orders`" in fault(config)


def test_all_faults_are_reported_at_once(config):
    config["ranks"] = 0
    config["audit"]["sead"] = 1
    assert len(fault(config).splitlines()) == 2
