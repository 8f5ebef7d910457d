# What people look at and what they hand in, on request: a page with pictures, the contest's folder.


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
        CPU
    shell:
        plan.command(
            "write_report",
            "--results results --report {output.page} --figures {output.figures}",
        )


rule submission:
    input:
        plan.submission,


rule write_submission:
    input:
        spec=plan.spec("write_submission"),
        tables=rules.aggregate_seeds.output,
        made_from=rules.aggregate_seeds.input[1:],  # without its spec
    output:
        provenance=plan.provenance("write_submission"),
        folder=directory(plan.submission),
    log:
        "results/logs/write_submission.log",
    benchmark:
        "results/benchmarks/write_submission.tsv"
    conda:
        CPU
    shell:
        plan.command("write_submission", "--results results --folder {output.folder}")
