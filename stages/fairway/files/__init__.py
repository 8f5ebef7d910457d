"""Containers on disk, whatever they hold: numpy arrays and safetensors, checked on reading.

In: named arrays or tensors and a path. Out: the same, or one line saying what is wrong with the
file. Must not know what the numbers mean.
"""
