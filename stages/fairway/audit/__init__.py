"""Is a row's score a code length? Evidence from those who run its parts, a witness, the verdict.

In: models, caches and gates as they run. Out: total mass Z, causality, coverage, and a verdict;
of any scorer as well. Must not know torch, or how any of it was made.
"""
