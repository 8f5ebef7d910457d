"""A row as a compressor: its distribution token by token, the file, the proof of a claim.

In: an artifact, a row's settings, a text. Out: a file of about as many bits as the row claims,
and the text again. Must not know training or audits.
"""
