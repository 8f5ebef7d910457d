"""Containers on disk, whatever they hold: arrays, safetensors, JSON records, checked on reading.

In: named arrays, tensors or values and a path. Out: the same, or one line saying what is wrong
with the file. Must not know what the numbers mean.
"""
