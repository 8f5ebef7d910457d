# Per cache, the counts; per row, what it scores, whether that is a code length, and the proof.


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
        "../envs/cpu.yaml"
    threads: 2
    shell:
        plan.command(
            "count_ngrams",
            "--manifest {input.manifest} --val {input.val} --threads {threads} "
            "--counts {output.counts} --stats {output.stats}",
        )


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
        "../envs/cpu.yaml"
    shell:
        plan.command(
            "mix_scores",
            "--manifest {input.manifest} --val {input.val} --val-bytes {input.val_bytes} "
            "--seed {wildcards.seed} --scores {input.scores} --counts {input.counts} "
            "--sums {output.sums}",
        )


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
        "../envs/cpu.yaml"
    shell:
        plan.command(
            "audit_row",
            "--manifest {input.manifest} --val {input.val} --val-bytes {input.val_bytes} "
            "--sums {input.sums} --scores {input.scores} --counts {input.counts} "
            "--artifacts {input.artifacts} --audit {output.audit}",
        )


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
        "../envs/cpu.yaml"
    shell:
        plan.command(
            "prove_row",
            "--manifest {input.manifest} --val {input.val} --val-bytes {input.val_bytes} "
            "--tokenizer {input.tokenizer} --artifact {input.artifact} "
            f"--seed {plan.seeds[0]} "
            "--scores {input.scores} --counts {input.counts} --proof {output.proof} "
            "--file {output.file}",
        )


rule sweep_buckets:
    input:
        spec=lambda w: plan.specs.path("sweep_buckets"),
        manifest=rules.encode_corpus.output.manifest,
        val=rules.encode_corpus.output.val,
        scores=lambda w: plan.scores(plan.config["sweep"]["row"], plan.seeds[:1]),
    output:
        table="results/sweeps/buckets.csv",
        figure="results/sweeps/buckets.png",
    log:
        "results/logs/sweep_buckets.log",
    benchmark:
        "results/benchmarks/sweep_buckets.tsv"
    conda:
        "../envs/cpu.yaml"
    shell:
        plan.command(
            "sweep_buckets",
            "--manifest {input.manifest} --val {input.val} --scores {input.scores} "
            "--table {output.table} --figure {output.figure}",
        )
