# What people look at: one page with pictures, on request.


rule report:
    input:
        "results/report.html",


rule write_report:
    input:
        spec=plan.spec("write_report"),
        tables=rules.aggregate_seeds.output,
        made_from=rules.aggregate_seeds.input[1:],  # without its spec
        manifest=rules.encode_corpus.output.manifest,
    output:
        provenance=plan.provenance("write_report"),
        page="results/report.html",
        figures=report(
            directory("results/figures"),
            htmlindex="index.html",
            caption="../docs/report.rst",
            category="Results",
        ),
    log:
        "results/logs/write_report.log",
    benchmark:
        "results/benchmarks/write_report.tsv"
    conda:
        "../envs/cpu.yaml"
    shell:
        plan.command(
            "write_report",
            "--results results --report {output.page} --figures {output.figures}",
        )
