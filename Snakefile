# Text to a 16 MB language model and an honest table. Wiring only, rules in data order.
#
# Every rule's first input is its spec: the settings and the hash of the code that the job depends
# on. So `params:` and config in shell text stay unused, and what reruns follows from files alone.
import os
import sys

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger


configfile: f"{workflow.basedir}/config.yaml"


STAGES = os.path.relpath(f"{workflow.basedir}/stages")
sys.path.insert(0, STAGES)
from fairway.plan import Plan, missing_files
from fairway.stage import StageError

try:
    plan = Plan(config, workflow.basedir)
    documents, absent = plan.documents()
except StageError as error:
    raise WorkflowError(str(error)) from None

CORPUS, MODEL = "results/corpus", "results/models/{model}/seed{seed}"
RECEIPT = f"{CORPUS}/download.json"
if plan.downloads:  # which files it is about is in the specs, so its time says nothing
    documents, absent = ancient(RECEIPT), []
for line in absent:
    logger.warning(line)


wildcard_constraints:
    model=r"\w+",
    cache=r"\w+",
    row=r"\w+",
    seed=r"\d+",
    rank=r"\d+",


localrules:
    all,
    estimate,
    fetch_corpus,


rule all:
    input:
        "results/summary.csv",


rule estimate:
    input:
        spec=lambda w: plan.spec("estimate"),
    log:
        "results/logs/estimate.log",
    conda:
        "envs/cpu.yaml"
    shell:
        "python {STAGES}/estimate.py --spec {input.spec} --manifest {CORPUS}/manifest.json"
        " --report results/estimate.md 2> {log}"


rule fetch_corpus:
    input:
        spec=lambda w: plan.spec("fetch_corpus"),
    output:
        receipt=RECEIPT,
    log:
        "results/logs/fetch_corpus.log",
    benchmark:
        "results/benchmarks/fetch_corpus.tsv"
    conda:
        "envs/cpu.yaml"
    shell:
        "python {STAGES}/fetch_corpus.py --spec {input.spec} --receipt {output.receipt} > {log} 2>&1"


rule train_tokenizer:
    input:
        spec=plan.spec("train_tokenizer"),
        documents=documents,
    output:
        tokenizer=f"{CORPUS}/tokenizer.model",
    log:
        "results/logs/train_tokenizer.log",
    benchmark:
        "results/benchmarks/train_tokenizer.tsv"
    conda:
        "envs/cpu.yaml"
    shell:
        "python {STAGES}/train_tokenizer.py --spec {input.spec} --tokenizer {output.tokenizer} > {log} 2>&1"


rule encode_corpus:
    input:
        spec=plan.spec("encode_corpus"),
        documents=documents,
        tokenizer=rules.train_tokenizer.output.tokenizer,
    output:
        [] if plan.given_shards else f"{CORPUS}/train.bin",
        manifest=f"{CORPUS}/manifest.json",
        val=f"{CORPUS}/val.bin",
        val_bytes=f"{CORPUS}/val_bytes.npy",
    log:
        "results/logs/encode_corpus.log",
    benchmark:
        "results/benchmarks/encode_corpus.tsv"
    conda:
        "envs/cpu.yaml"
    shell:
        "python {STAGES}/encode_corpus.py --spec {input.spec} --tokenizer {input.tokenizer} --manifest {output.manifest}"
        " --val {output.val} --val-bytes {output.val_bytes} --train {CORPUS}/train.bin > {log} 2>&1"


rule train_model:
    input:
        spec=plan.spec("train_model", "model"),
        manifest=rules.encode_corpus.output.manifest,
    output:
        checkpoint=f"{MODEL}/checkpoint.safetensors",
        metrics=f"{MODEL}/metrics.jsonl",
    log:
        "results/logs/train_model/{model}.seed{seed}.log",
    benchmark:
        "results/benchmarks/train_model/{model}.seed{seed}.tsv"
    conda:
        "envs/cuda.yaml"
    threads: plan.threads("training")
    resources:
        gpu=plan.gpus("training"),
    shell:
        "python {STAGES}/train_model.py --spec {input.spec} --manifest {input.manifest} --seed {wildcards.seed}"
        " --checkpoint {output.checkpoint} --metrics {output.metrics}"
        " --resume results/models/{wildcards.model}/seed{wildcards.seed}/resume.pt > {log} 2>&1"


rule quantize_model:
    input:
        spec=plan.spec("quantize_model", "model"),
        manifest=rules.encode_corpus.output.manifest,
        checkpoint=rules.train_model.output.checkpoint,
    output:
        quantized=f"{MODEL}/quantized.safetensors",
        report=f"{MODEL}/quantize.json",
    log:
        "results/logs/quantize_model/{model}.seed{seed}.log",
    benchmark:
        "results/benchmarks/quantize_model/{model}.seed{seed}.tsv"
    conda:
        "envs/cuda.yaml"
    threads: plan.threads("quantization")
    resources:
        gpu=plan.gpus("quantization"),
    shell:
        "python {STAGES}/quantize_model.py --spec {input.spec} --manifest {input.manifest}"
        " --checkpoint {input.checkpoint} --quantized {output.quantized} --report {output.report} > {log} 2>&1"


rule pack_artifact:
    input:
        spec=plan.spec("pack_artifact", "model"),
        quantized=rules.quantize_model.output.quantized,
    output:
        artifact=f"{MODEL}/artifact.bin",
        ledger=f"{MODEL}/ledger.json",
    log:
        "results/logs/pack_artifact/{model}.seed{seed}.log",
    benchmark:
        "results/benchmarks/pack_artifact/{model}.seed{seed}.tsv"
    conda:
        "envs/cpu.yaml"
    shell:
        "python {STAGES}/pack_artifact.py --spec {input.spec} --quantized {input.quantized}"
        " --artifact {output.artifact} --ledger {output.ledger} > {log} 2>&1"


rule score_targets:
    input:
        spec=plan.spec("score_targets", "model"),
        manifest=rules.encode_corpus.output.manifest,
        val=rules.encode_corpus.output.val,
        artifact=rules.pack_artifact.output.artifact,
    output:
        scores=f"{MODEL}/scores/rank{{rank}}.npz",
        stats=f"{MODEL}/scores/rank{{rank}}.json",
    log:
        "results/logs/score_targets/{model}.seed{seed}.rank{rank}.log",
    benchmark:
        "results/benchmarks/score_targets/{model}.seed{seed}.rank{rank}.tsv"
    conda:
        "envs/cuda.yaml"
    threads: plan.threads("scoring")
    resources:
        gpu=plan.gpus("scoring"),
    shell:
        "python {STAGES}/score_targets.py --spec {input.spec} --manifest {input.manifest} --val {input.val}"
        " --artifact {input.artifact} --rank {wildcards.rank} --scores {output.scores} --stats {output.stats} > {log} 2>&1"


rule count_ngrams:
    input:
        spec=plan.spec("count_ngrams", "cache"),
        manifest=rules.encode_corpus.output.manifest,
        val=rules.encode_corpus.output.val,
    output:
        counts=expand("results/counts/{{cache}}/rank{rank}.npz", rank=plan.ranks),
        stats="results/counts/{cache}/stats.json",
    log:
        "results/logs/count_ngrams/{cache}.log",
    benchmark:
        "results/benchmarks/count_ngrams/{cache}.tsv"
    conda:
        "envs/cpu.yaml"
    threads: 2
    shell:
        "python {STAGES}/count_ngrams.py --spec {input.spec} --manifest {input.manifest} --val {input.val}"
        " --threads {threads} --counts {output.counts} --stats {output.stats} > {log} 2>&1"


rule mix_scores:
    input:
        spec=plan.spec("mix_scores", "row"),
        manifest=rules.encode_corpus.output.manifest,
        val=rules.encode_corpus.output.val,
        val_bytes=rules.encode_corpus.output.val_bytes,
        scores=lambda w: plan.scores(w.row, [w.seed]),
        counts=lambda w: plan.counts(w.row),
    output:
        sums="results/rows/{row}/seed{seed}.json",
    log:
        "results/logs/mix_scores/{row}.seed{seed}.log",
    benchmark:
        "results/benchmarks/mix_scores/{row}.seed{seed}.tsv"
    conda:
        "envs/cpu.yaml"
    shell:
        "python {STAGES}/mix_scores.py --spec {input.spec} --manifest {input.manifest} --val {input.val}"
        " --val-bytes {input.val_bytes} --seed {wildcards.seed} --scores {input.scores} --counts {input.counts}"
        " --sums {output.sums} > {log} 2>&1"


rule audit_row:
    input:
        spec=plan.spec("audit_row", "row"),
        manifest=rules.encode_corpus.output.manifest,
        val=rules.encode_corpus.output.val,
        val_bytes=rules.encode_corpus.output.val_bytes,
        sums=expand("results/rows/{{row}}/seed{seed}.json", seed=plan.seeds),
        scores=lambda w: plan.scores(w.row, plan.seeds),
        counts=lambda w: plan.counts(w.row),
        artifacts=lambda w: plan.artifacts(w.row),
    output:
        audit="results/rows/{row}/audit.json",
    log:
        "results/logs/audit_row/{row}.log",
    benchmark:
        "results/benchmarks/audit_row/{row}.tsv"
    conda:
        "envs/cpu.yaml"
    shell:
        "python {STAGES}/audit_row.py --spec {input.spec} --manifest {input.manifest} --val {input.val}"
        " --val-bytes {input.val_bytes} --sums {input.sums} --scores {input.scores} --counts {input.counts}"
        " --artifacts {input.artifacts} --audit {output.audit} > {log} 2>&1"


rule prove_row:
    input:
        spec=plan.spec("prove_row", "row"),
        manifest=rules.encode_corpus.output.manifest,
        val=rules.encode_corpus.output.val,
        val_bytes=rules.encode_corpus.output.val_bytes,
        tokenizer=rules.train_tokenizer.output.tokenizer,
        artifact=lambda w: plan.artifacts(w.row)[0],
        scores=lambda w: plan.scores(w.row, plan.seeds[:1]),
        counts=lambda w: plan.counts(w.row),
    output:
        proof="results/rows/{row}/proof.json",
        file="results/rows/{row}/proof.fwtx",
    log:
        "results/logs/prove_row/{row}.log",
    benchmark:
        "results/benchmarks/prove_row/{row}.tsv"
    conda:
        "envs/cpu.yaml"
    shell:
        "python {STAGES}/prove_row.py --spec {input.spec} --manifest {input.manifest} --val {input.val}"
        " --val-bytes {input.val_bytes} --tokenizer {input.tokenizer} --artifact {input.artifact} --seed {plan.seeds[0]}"
        " --scores {input.scores} --counts {input.counts} --proof {output.proof} --file {output.file} > {log} 2>&1"


rule aggregate_seeds:
    input:
        spec=plan.spec("aggregate_seeds"),
        sums=expand(rules.mix_scores.output, row=plan.rows, seed=plan.seeds),
        audits=expand(rules.audit_row.output, row=plan.rows),
        proofs=expand(rules.prove_row.output, row=plan.claimed),
        metrics=expand(rules.train_model.output.metrics, model=plan.models, seed=plan.seeds),
        reports=expand(rules.quantize_model.output.report, model=plan.models, seed=plan.seeds),
        ledgers=expand(rules.pack_artifact.output.ledger, model=plan.models, seed=plan.seeds),
        scoring=expand(
            rules.score_targets.output.stats, model=plan.models, seed=plan.seeds, rank=plan.ranks
        ),
        counting=expand(rules.count_ngrams.output.stats, cache=plan.caches),
    output:
        summary="results/summary.csv",
        seeds="results/seeds.csv",
        ablation="results/ablation.csv",
        ladder="results/ablation.md",
        budget="results/budget.csv",
    log:
        "results/logs/aggregate_seeds.log",
    benchmark:
        "results/benchmarks/aggregate_seeds.tsv"
    conda:
        "envs/cpu.yaml"
    shell:
        "python {STAGES}/aggregate_seeds.py --spec {input.spec} --results results --summary {output.summary}"
        " --seeds {output.seeds} --ablation {output.ablation} --ladder {output.ladder}"
        " --budget {output.budget} > {log} 2>&1"


made_from = [
    *rules.aggregate_seeds.input,
    *rules.train_tokenizer.output,
    *rules.encode_corpus.output,
]
for rule_proxy in (
    rules.train_model,
    rules.quantize_model,
    rules.pack_artifact,
    rules.score_targets,
):
    made_from += expand(rule_proxy.output, model=plan.models, seed=plan.seeds, rank=plan.ranks)
made_from += expand(rules.count_ngrams.output, cache=plan.caches)
for path in missing_files("results/summary.csv", made_from):
    logger.warning(f"{path} is missing; `./run {path}` makes it again")
