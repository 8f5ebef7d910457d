"""From initial weights to a checkpoint: batches, optimisers, schedule, averages, QAT, processes.

In: a model, token shards, settings. Out: a checkpoint, metrics, and a state to resume from.
Must not know of packing or of counts.
"""
