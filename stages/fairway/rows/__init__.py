"""A row of the table: any gate behind one interface, mixing, sums of nats and bytes.

In: score shards, counts, a gate's settings. Out: sums of one row and seed, by rank.
Must not know torch, or how scores and counts were made.
"""
