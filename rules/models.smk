# Per model and seed: train, quantise, pack under the limit, audit, score in rank shards.


rule train_model:
    input:
        spec=plan.spec("train_model"),
        manifest=rules.encode_corpus.output.manifest,
    output:
        provenance=plan.provenance("train_model"),
        checkpoint=f"{MODEL}/checkpoint.safetensors",
        metrics=f"{MODEL}/metrics.jsonl",
    log:
        "results/logs/train_model/{model}.seed{seed}.log",
    benchmark:
        "results/benchmarks/train_model/{model}.seed{seed}.tsv"
    priority: 1  # the longest jobs first, so that none is left alone at the end
    conda:
        CUDA
    threads: plan.threads("training")
    resources:
        gpu=plan.gpus("training"),
    shell:
        plan.command(
            "train_model",
            "--manifest {input.manifest} --seed {wildcards.seed} "
            "--checkpoint {output.checkpoint} --metrics {output.metrics} "
            "--resume results/models/{wildcards.model}/seed{wildcards.seed}/resume.safetensors",
        )


rule quantize_model:
    input:
        spec=plan.spec("quantize_model"),
        manifest=rules.encode_corpus.output.manifest,
        checkpoint=rules.train_model.output.checkpoint,
    output:
        provenance=plan.provenance("quantize_model"),
        quantized=f"{MODEL}/quantized.safetensors",
        report=f"{MODEL}/quantize.json",
    log:
        "results/logs/quantize_model/{model}.seed{seed}.log",
    benchmark:
        "results/benchmarks/quantize_model/{model}.seed{seed}.tsv"
    conda:
        CUDA
    threads: plan.threads("quantization")
    resources:
        gpu=plan.gpus("quantization"),
    shell:
        plan.command(
            "quantize_model",
            "--manifest {input.manifest} --checkpoint {input.checkpoint} "
            "--quantized {output.quantized} --report {output.report}",
        )


rule pack_artifact:
    input:
        spec=plan.spec("pack_artifact"),
        quantized=rules.quantize_model.output.quantized,
    output:
        provenance=plan.provenance("pack_artifact"),
        artifact=f"{MODEL}/artifact.bin",
        ledger=f"{MODEL}/ledger.json",
    log:
        "results/logs/pack_artifact/{model}.seed{seed}.log",
    benchmark:
        "results/benchmarks/pack_artifact/{model}.seed{seed}.tsv"
    conda:
        CPU
    shell:
        plan.command(
            "pack_artifact",
            "--quantized {input.quantized} --artifact {output.artifact} "
            "--ledger {output.ledger}",
        )


rule audit_model:
    input:
        spec=plan.spec("audit_model"),
        manifest=rules.encode_corpus.output.manifest,
        val=rules.encode_corpus.output.val,
        artifact=rules.pack_artifact.output.artifact,
    output:
        provenance=plan.provenance("audit_model"),
        evidence=f"{MODEL}/audit.npz",
    log:
        "results/logs/audit_model/{model}.seed{seed}.log",
    benchmark:
        "results/benchmarks/audit_model/{model}.seed{seed}.tsv"
    conda:
        CUDA
    threads: plan.threads("scoring")
    resources:
        gpu=plan.gpus("scoring"),
    shell:
        plan.command(
            "audit_model",
            "--manifest {input.manifest} --val {input.val} --artifact {input.artifact} "
            "--evidence {output.evidence}",
        )


rule score_targets:
    input:
        spec=plan.spec("score_targets"),
        manifest=rules.encode_corpus.output.manifest,
        val=rules.encode_corpus.output.val,
        artifact=rules.pack_artifact.output.artifact,
    output:
        provenance=plan.provenance("score_targets"),
        scores=f"{MODEL}/scores/rank{{rank}}.npz",
        stats=f"{MODEL}/scores/rank{{rank}}.json",
    log:
        "results/logs/score_targets/{model}.seed{seed}.rank{rank}.log",
    benchmark:
        "results/benchmarks/score_targets/{model}.seed{seed}.rank{rank}.tsv"
    conda:
        CUDA
    threads: plan.threads("scoring")
    resources:
        gpu=plan.gpus("scoring"),
    shell:
        plan.command(
            "score_targets",
            "--manifest {input.manifest} --val {input.val} --artifact {input.artifact} "
            "--rank {wildcards.rank} --scores {output.scores} --stats {output.stats}",
        )
