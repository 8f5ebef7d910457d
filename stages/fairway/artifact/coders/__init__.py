"""How the values of an artifact's sections become bytes: general compressors, or an ANS coder.

In: a section's tensors, of one type. Out: bytes, and from them and the shapes the tensors again,
bit for bit. Must not know what the tensors are of.
"""
