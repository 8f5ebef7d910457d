"""What write_submission depends on: who hands in, and the settings that a row's script has."""

from typing import TYPE_CHECKING, Any

from fairway.rows.entry import NONE

if TYPE_CHECKING:
    from fairway.workflow.specs import Specs

Config = dict[str, Any]


def handed_in(specs: "Specs") -> Config:
    """The config's section, the limits, and what the script of every row with a model is given."""
    rows = [name for name, row in specs.rows.items() if row["model"] != NONE]
    return {
        "submission": specs.config["submission"],
        "limits": specs.config["limits"],
        "rows": {name: _script(specs, name) for name in rows},
    }


def _script(specs: "Specs", row: str) -> Config:
    """What train_gpt.py is started with: the row, and the settings of the stages that it runs."""
    entry, corpus = specs.rows[row], specs.config["corpus"]
    stages: Config = {
        "encode_corpus": {key: corpus[key] for key in ("vocabulary", "minimum_documents")}
    }
    for stage in ("train_model", "quantize_model", "pack_artifact", "score_targets"):
        stages[stage] = getattr(specs, stage)(entry["model"])
    if entry["cache"] != NONE:
        stages["count_ngrams"] = specs.count_ngrams(entry["cache"])
        if memory := specs.config["caches"][entry["cache"]]["memory"]:
            stages["pack_memory"] = specs.pack_memory(memory)
    mixed = specs.mix_scores(row)
    del mixed["audit"]  # nothing is audited there
    return {"row": mixed, "seed": specs.config["seeds"][0], "stages": stages}
