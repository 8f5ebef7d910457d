# Text to a 16 MB language model and an honest table. Wiring only, rules in data order.
#
# Every rule's first input is its spec: the settings and the hash of the code that the job depends
# on. So `params:` and config in shell text stay unused. Every job records what it read and wrote:
# its provenance. What reruns follows from the content of these, not from the times of files.
import os
import sys

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger


configfile: f"{workflow.basedir}/config.yaml"


report: "docs/workflow.rst"


sys.path.insert(0, f"{workflow.basedir}/stages")
from fairway.workflow.environment import clean, interpreter
from fairway.workflow.estimation import COUNTING_THREADS
from fairway.workflow.layers import configuration_of
from fairway.workflow.plan import Plan, literal, missing_files
from fairway.stage import StageError

clean(os.environ)

CPU, CUDA = (literal(f"{workflow.basedir}/envs/{name}.yaml") for name in ("cpu", "cuda"))
CORPUS, MODEL = "results/corpus", "results/models/{model}/seed{seed}"
try:
    plan = Plan(configuration_of(workflow), workflow.basedir, interpreter(workflow))
    plan.specs.check_text(f"{CORPUS}/manifest.json")
except StageError as error:
    raise WorkflowError(str(error)) from None

for line in [] if plan.downloads else plan.absent.values():
    logger.warning(line)

if workflow.is_main_process:
    plan.force = lambda path: workflow.dag.forcefiles.add(path)


wildcard_constraints:
    model=r"\w+",
    memory=r"\w+",
    cache=r"\w+",
    row=r"\w+",
    seed=r"\d+",
    rank=r"\d+",
    stage=r"\w+(/\w+)?",
    sweep=r"\w+",
    digits=r"[0-9a-f]{16}",


localrules:
    all,
    report,
    submission,
    estimate,
    fetch_corpus,
    write_spec,
    write_specs,


onstart:
    plan.begin()


onsuccess:
    plan.end()


rule all:
    input:
        "results/summary.csv",


rule write_specs:
    output:
        list(plan.missing_specs()),
    log:
        "results/logs/write_specs.log",
    conda:
        CPU
    shell:
        plan.write_specs_command("{output}")


rule write_spec:  # of a job that is no part of the table
    output:
        "results/specs/{stage}.{digits}.json",
    log:
        "results/logs/write_spec/{stage}.{digits}.log",
    conda:
        CPU
    shell:
        plan.write_specs_command("{output}")


ruleorder: write_specs > write_spec


include: "rules/corpus.smk"
include: "rules/models.smk"
include: "rules/rows.smk"


rule aggregate_seeds:
    input:
        spec=plan.spec("aggregate_seeds"),
        provenance=list(plan.specs.of_jobs()),
        manifest=rules.encode_corpus.output.manifest,
        sums=expand(rules.mix_scores.output, zip, **plan.pairs),
        audits=expand(rules.audit_row.output, row=plan.rows),
        proofs=expand(rules.prove_row.output, row=plan.decodable),
        decoders=expand(rules.pack_row.output, row=plan.rows),
        metrics=expand(rules.train_model.output.metrics, model=plan.models, seed=plan.seeds),
        reports=expand(rules.quantize_model.output.report, model=plan.models, seed=plan.seeds),
        ledgers=expand(rules.pack_artifact.output.ledger, model=plan.models, seed=plan.seeds),
        scoring=expand(
            rules.score_targets.output.stats, model=plan.models, seed=plan.seeds, rank=plan.ranks
        ),
        memories=expand(rules.pack_memory.output.stats, memory=plan.memories),
        counting=expand(rules.count_ngrams.output.stats, cache=plan.caches),
    output:
        provenance=plan.provenance("aggregate_seeds"),
        summary="results/summary.csv",
        seeds="results/seeds.csv",
        ablation="results/ablation.csv",
        ladder="results/ablation.md",
        budget="results/budget.csv",
        statistics="results/statistics.csv",
    log:
        "results/logs/aggregate_seeds.log",
    benchmark:
        "results/benchmarks/aggregate_seeds.tsv"
    conda:
        CPU
    shell:
        plan.command(
            "aggregate_seeds",
            "--results results --summary {output.summary} --seeds {output.seeds} "
            "--ablation {output.ablation} --ladder {output.ladder} --budget {output.budget} "
            "--statistics {output.statistics}",
        )


include: "rules/report.smk"
include: "rules/sweeps.smk"


made_from = [
    *rules.aggregate_seeds.input[1:],  # without its spec
    *rules.train_tokenizer.output,
    *rules.encode_corpus.output,
]
for rule_proxy in (
    rules.train_model,
    rules.quantize_model,
    rules.pack_artifact,
    rules.score_targets,
    rules.audit_model,
):
    made_from += expand(rule_proxy.output, model=plan.models, seed=plan.seeds, rank=plan.ranks)
made_from += expand([*rules.count_ngrams.output, *rules.audit_cache.output], cache=plan.caches)
made_from += expand(rules.pack_memory.output, memory=plan.memories)
for path in missing_files("results/summary.csv", made_from):
    logger.warning(f"{path} is missing; add it to the same command to make it again")
