"""What is handed in: the contest's folder, its script and its logs, and whether they are right.

In: a finished run's tables, ledgers, audits and metrics, and the settings that a folder was made
with; the variables that contest scripts read.
Out: a folder's files, customary log lines, a list of what is wrong. Must not know torch, how a
number was made, or the Snakefile.
"""
