"""The language model: its sizes, its layers, the forward pass, initial values.

In: an architecture and tokens. Out: logits. Must not know of files or of training.
"""
