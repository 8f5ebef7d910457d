"""Is a score a code length? Evidence from those who run a row's parts, a witness, the verdict.

In: models, caches and gates as they run; or anybody's scorer, run in a sandbox. Out: total mass Z,
causality, coverage, and a verdict. Must not know torch, or how any of it was made.
"""
