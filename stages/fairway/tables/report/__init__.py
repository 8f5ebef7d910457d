"""The report: pictures of a finished run, each with the words that say what to see in it.

In: the tables, profiles, evidence and reports of a run. Out: one page that opens anywhere, and
its figures as files. Must not compute a score: it shows what the tables hold.
"""
