"""The machine that a stage runs on: its devices, and which process holds which GPU.

In: what a stage asks for. Out: a device, locked where it is a GPU. Must not know what is computed.
"""
