"""How counts and a model mix: gates over the first match, and the empirical-Bayes gate.

In: the model's nll or distribution and counts, as arrays. Out: the mixture's nll or distribution,
in nats. Must not know of files or of the configuration.
"""
