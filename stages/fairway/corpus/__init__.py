"""From documents to tokens: reading, tokenizing, shards, the manifest, bytes per target, windows.

In: files or installed packages. Out: token shards and a manifest that later stages trust, the
tokenizer, and the exact text back. Must not know of models.
"""
