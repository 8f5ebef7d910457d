"""What the Snakefile uses: the checked configuration, spec files, the plan, the estimate.

In: config.yaml and overrides. Out: paths, specs and shell text of jobs. Must not know numpy or
torch: all of it is imported whenever the Snakefile is read.
"""
