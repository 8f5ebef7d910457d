# Per memory, its file; per cache, the counts; per row, what it scores, whether that is a code length, and the proof.


rule pack_memory:
    input:
        spec=plan.spec("pack_memory"),
        manifest=rules.encode_corpus.output.manifest,
    output:
        provenance=plan.provenance("pack_memory"),
        memory="results/memories/{memory}.bin",
        stats="results/memories/{memory}.json",
    log:
        "results/logs/pack_memory/{memory}.log",
    benchmark:
        "results/benchmarks/pack_memory/{memory}.tsv"
    conda:
        CPU
    shell:
        plan.command(
            "pack_memory",
            "--manifest {input.manifest} --memory {output.memory} --stats {output.stats}",
        )


rule count_ngrams:
    input:
        spec=plan.spec("count_ngrams"),
        manifest=rules.encode_corpus.output.manifest,
        val=rules.encode_corpus.output.val,
        memory=lambda w: plan.memory(w.cache),
    output:
        provenance=plan.provenance("count_ngrams"),
        counts=expand("results/counts/{{cache}}/rank{rank}.npz", rank=plan.ranks),
        stats="results/counts/{cache}/stats.json",
    log:
        "results/logs/count_ngrams/{cache}.log",
    benchmark:
        "results/benchmarks/count_ngrams/{cache}.tsv"
    conda:
        CPU
    threads: COUNTING_THREADS
    shell:
        plan.command(
            "count_ngrams",
            "--manifest {input.manifest} --val {input.val} --memory {input.memory} "
            "--threads {threads} --counts {output.counts} --stats {output.stats}",
        )


rule audit_cache:
    input:
        spec=plan.spec("audit_cache"),
        manifest=rules.encode_corpus.output.manifest,
        val=rules.encode_corpus.output.val,
        memory=lambda w: plan.memory(w.cache),
        counts=rules.count_ngrams.output.counts,
    output:
        provenance=plan.provenance("audit_cache"),
        evidence="results/counts/{cache}/audit.npz",
    log:
        "results/logs/audit_cache/{cache}.log",
    benchmark:
        "results/benchmarks/audit_cache/{cache}.tsv"
    conda:
        CPU
    threads: COUNTING_THREADS
    shell:
        plan.command(
            "audit_cache",
            "--manifest {input.manifest} --val {input.val} --memory {input.memory} "
            "--threads {threads} --counts {input.counts} --evidence {output.evidence}",
        )


rule pack_row:
    input:
        spec=plan.spec("pack_row"),
        artifact=lambda w: plan.model_files(w.row, "artifact.bin", plan.seeds),
        memory=lambda w: plan.row_memory(w.row),
    output:
        provenance=plan.provenance("pack_row"),
        bundle="results/decoders/{row}.py",
        ledger="results/rows/{row}/ledger.json",
    log:
        "results/logs/pack_row/{row}.log",
    benchmark:
        "results/benchmarks/pack_row/{row}.tsv"
    conda:
        CPU
    shell:
        plan.command(
            "pack_row",
            "--artifact {input.artifact} --memory {input.memory} --bundle {output.bundle} "
            "--ledger {output.ledger}",
        )


rule mix_scores:
    input:
        spec=plan.spec("mix_scores"),
        manifest=rules.encode_corpus.output.manifest,
        val=rules.encode_corpus.output.val,
        val_bytes=rules.encode_corpus.output.val_bytes,
        scores=lambda w: plan.scores(w.row, [w.seed]),
        counts=lambda w: plan.counts(w.row),
        model_audit=lambda w: plan.model_files(w.row, "audit.npz", [w.seed]),
        cache_audit=lambda w: plan.cache_audit(w.row),
        memory=lambda w: plan.row_memory(w.row),
        ledger=plan.waited_for("mix_scores", "results/rows/{row}/ledger.json"),  # or none is scored
    output:
        provenance=plan.provenance("mix_scores"),
        sums="results/rows/{row}/seed{seed}.json",
        evidence="results/rows/{row}/seed{seed}.npz",
        profile="results/rows/{row}/seed{seed}.profile.npz",
    log:
        "results/logs/mix_scores/{row}.seed{seed}.log",
    benchmark:
        "results/benchmarks/mix_scores/{row}.seed{seed}.tsv"
    conda:
        CPU
    shell:
        plan.command(
            "mix_scores",
            "--manifest {input.manifest} --val {input.val} --val-bytes {input.val_bytes} "
            "--seed {wildcards.seed} --scores {input.scores} --counts {input.counts} "
            "--model-audit {input.model_audit} --cache-audit {input.cache_audit} "
            "--memory {input.memory} "
            "--sums {output.sums} --evidence {output.evidence} --profile {output.profile}",
        )


rule audit_row:
    input:
        spec=plan.spec("audit_row"),
        manifest=rules.encode_corpus.output.manifest,
        sums=lambda w: plan.row_files(w.row, "json"),
        evidence=lambda w: plan.row_files(w.row, "npz"),
        models=lambda w: plan.model_files(w.row, "audit.npz", plan.seeds),
        cache=lambda w: plan.cache_audit(w.row),
        memory=lambda w: plan.row_memory(w.row),
    output:
        provenance=plan.provenance("audit_row"),
        audit="results/rows/{row}/audit.json",
    log:
        "results/logs/audit_row/{row}.log",
    benchmark:
        "results/benchmarks/audit_row/{row}.tsv"
    conda:
        CPU
    shell:
        plan.command(
            "audit_row",
            "--manifest {input.manifest} --sums {input.sums} --evidence {input.evidence} "
            "--models {input.models} --cache {input.cache} --memory {input.memory} "
            "--audit {output.audit}",
        )


rule prove_row:
    input:
        spec=plan.spec("prove_row"),
        manifest=rules.encode_corpus.output.manifest,
        val=rules.encode_corpus.output.val,
        val_bytes=rules.encode_corpus.output.val_bytes,
        val_text=rules.encode_corpus.output.val_text,
        tokenizer=rules.train_tokenizer.output.tokenizer,
        artifact=lambda w: plan.model_files(w.row, "artifact.bin", plan.seeds[:1]),
        scores=lambda w: plan.scores(w.row, plan.seeds[:1]),
        counts=lambda w: plan.counts(w.row),
        memory=lambda w: plan.row_memory(w.row),
        bundle=plan.waited_for("prove_row", "results/decoders/{row}.py"),  # its code is in the spec
    output:
        provenance=plan.provenance("prove_row"),
        proof="results/rows/{row}/proof.json",
        file="results/rows/{row}/proof.fwtx",
    log:
        "results/logs/prove_row/{row}.log",
    benchmark:
        "results/benchmarks/prove_row/{row}.tsv"
    conda:
        CPU
    shell:
        plan.command(
            "prove_row",
            "--manifest {input.manifest} --val {input.val} --val-bytes {input.val_bytes} "
            "--val-text {input.val_text} --tokenizer {input.tokenizer} "
            "--artifact {input.artifact} --memory {input.memory} --bundle {input.bundle} "
            "--scores {input.scores} --counts {input.counts} --proof {output.proof} "
            "--file {output.file}",
        )
