"""Weights to bytes: calibration, choice of steps, GPTQ, kinds, coders, pruning, the ledger.

In: a trained model and training text. Out: one artifact file, the model it gives back, and what
every byte of it is spent on. Must not know of counts.
"""
