# From documents or given shards to a tokenizer, token shards and their manifest.


rule estimate:
    input:
        spec=lambda w: plan.specs.path("estimate"),
    log:
        "results/logs/estimate.log",
    conda:
        CPU
    shell:
        plan.command(
            "estimate",
            f"--manifest {CORPUS}/manifest.json --report results/estimate.md "
            f"--manifest-spec {plan.specs.sha256('encode_corpus')}",
            printed=True,
        )


rule fetch_corpus:
    input:
        # The receipt's name holds the settings; changed code is no reason to fetch again.
        spec=ancient(plan.specs.path("fetch_corpus")),
    output:
        receipt=plan.receipt,
    log:
        "results/logs/fetch_corpus.log",
    benchmark:
        "results/benchmarks/fetch_corpus.tsv"
    conda:
        CPU
    shell:
        plan.command("fetch_corpus", "--receipt {output.receipt}")


rule train_tokenizer:
    input:
        spec=plan.spec("train_tokenizer"),
        documents=plan.documents(f"{CORPUS}/tokenizer.model"),
    output:
        provenance=plan.provenance("train_tokenizer"),
        tokenizer=f"{CORPUS}/tokenizer.model",
    log:
        "results/logs/train_tokenizer.log",
    benchmark:
        "results/benchmarks/train_tokenizer.tsv"
    conda:
        CPU
    shell:
        plan.command("train_tokenizer", "--tokenizer {output.tokenizer}")


rule encode_corpus:
    input:
        spec=plan.spec("encode_corpus"),
        windows=plan.windows,  # are only tried; other ones train nothing
        documents=plan.documents(f"{CORPUS}/manifest.json"),
        tokenizer=rules.train_tokenizer.output.tokenizer,
    output:
        [] if plan.given_shards else f"{CORPUS}/train.bin",
        provenance=plan.provenance("encode_corpus"),
        manifest=f"{CORPUS}/manifest.json",
        val=f"{CORPUS}/val.bin",
        val_bytes=f"{CORPUS}/val_bytes.npy",
        val_text=f"{CORPUS}/val_text.bin",
    log:
        "results/logs/encode_corpus.log",
    benchmark:
        "results/benchmarks/encode_corpus.tsv"
    conda:
        CPU
    shell:
        plan.command(
            "encode_corpus",
            "--tokenizer {input.tokenizer} --manifest {output.manifest} --val {output.val} "
            "--val-bytes {output.val_bytes} --val-text {output.val_text} "
            "--windows {input.windows} "
            f"--train {CORPUS}/train.bin",
        )
