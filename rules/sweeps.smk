# Rows scored with other numbers than the configuration's, on request.


rule sweep_row:
    input:
        spec=plan.spec("sweep_row"),
        manifest=rules.encode_corpus.output.manifest,
        val=rules.encode_corpus.output.val,
        val_bytes=rules.encode_corpus.output.val_bytes,
        scores=lambda w: plan.scores(plan.swept_row(w.sweep), plan.seeds[:1]),
        model_audit=lambda w: plan.model_files(
            plan.swept_row(w.sweep), "audit.npz", plan.seeds[:1]
        ),
        memory=lambda w: plan.row_memory(plan.swept_row(w.sweep)),
        counts=lambda w: plan.swept_counts(w.sweep),
    output:
        provenance=plan.provenance("sweep_row"),
        table="results/sweeps/{sweep}.csv",
        note="results/sweeps/{sweep}.md",
        picture="results/sweeps/{sweep}.svg",
        image=report(
            "results/sweeps/{sweep}.png",
            caption="../docs/sweep.rst",
            category="Sweeps",
            labels={"sweep": "{sweep}"},
        ),
    log:
        "results/logs/sweep_row/{sweep}.log",
    benchmark:
        "results/benchmarks/sweep_row/{sweep}.tsv"
    conda:
        CPU
    threads: 2
    shell:
        plan.command(
            "sweep_row",
            "--manifest {input.manifest} --val {input.val} --val-bytes {input.val_bytes} "
            "--scores {input.scores} --model-audit {input.model_audit} "
            "--memory {input.memory} --counts {input.counts} --threads {threads} "
            "--table {output.table} --note {output.note} --picture {output.picture} "
            "--image {output.image}",
        )
