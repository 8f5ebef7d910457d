"""The language model: sizes, forward pass, initial values, deviations of virtual layers.

In: an architecture and tokens. Out: logits. Must not know of files or of training.
"""
