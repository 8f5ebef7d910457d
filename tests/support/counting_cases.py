"""Texts, windows and cache settings that counting is tested on."""

from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

from fairway.corpus.windows import WindowPlan
from fairway.counting.caches import CacheSettings
from fairway.counting.segments import NO_MEMORY

ALPHABETS = ([0], [1], [0, 1], [0, 7], [0, 1, 2, 3, 65534], list(range(1, 60)))


@st.composite
def texts(draw, longest=160):
    """uint16 tokens: random, one token only, two, repeats of a phrase with random breaks."""
    alphabet = draw(st.sampled_from(ALPHABETS))
    token = st.sampled_from(alphabet)
    count = draw(st.integers(3, longest))
    if draw(st.booleans()):
        phrase = draw(st.lists(token, min_size=1, max_size=9))
        tokens = (phrase * count)[:count]
        for position in draw(st.lists(st.integers(0, count - 1), max_size=4)):
            tokens[position] = draw(token)
    else:
        tokens = draw(st.lists(token, min_size=count, max_size=count))
    return np.array(tokens, dtype=np.uint16)


@st.composite
def plans(draw, tokens):
    """Windows over a text, of any length and stride."""
    targets = len(tokens) - 1
    length = draw(st.integers(1, targets))
    return WindowPlan(targets, length, draw(st.integers(1, length)))


@st.composite
def caches(draw, kind, **fixed):
    """Settings of one kind; keyword arguments are taken as they are."""
    max_order = draw(st.integers(1, 12))
    settings = {
        "kind": kind,
        "max_order": max_order,
        "min_order": draw(st.integers(1, max_order)),
        "min_count": draw(st.integers(1, 3)),
        "prefill": draw(st.booleans()),
        "cross_documents": draw(st.booleans()),
    }
    if kind == "hashed":
        settings["buckets"] = 1 << draw(st.integers(0, 11))
    else:
        settings["update"] = draw(st.sampled_from(["segment", "token"]))
    return CacheSettings.from_settings(settings | fixed)


@st.composite
def cases(draw, kind, **fixed):
    """A text, its windows, a cache, a number of ranks, a number of threads and a memory.

    The memory may be empty; if it is not, the text begins like it, so that it is of use.
    """
    tokens, memory = draw(texts()), NO_MEMORY
    plan = draw(plans(tokens))
    ranks = draw(st.integers(1, min(len(plan), 8)))
    settings = draw(caches(kind, **fixed))
    if draw(st.booleans()):
        memory = draw(st.sampled_from([tokens[:1], tokens[: len(tokens) // 2], tokens[::-1]]))
        settings = replace(settings, memory="some", prefill=True)
    return tokens, plan, settings, ranks, draw(st.integers(1, 3)), memory
