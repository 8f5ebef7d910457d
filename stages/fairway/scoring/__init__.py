"""The neural model's score of every target: forward passes over sliding windows, and their files.

In: a model, tokens and windows. Out: nll and entropy per target, in nats, a file a rank.
Must not know of counts or gates.
"""
