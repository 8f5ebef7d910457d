"""N-gram caches: what counts knew of every target before it was seen, their files, memories.

In: tokens, windows, a cache's settings. Out: matches or counts per target, or distributions over
the vocabulary. Must not know of models or gates.
"""
