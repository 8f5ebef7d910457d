"""Is a row's score a code length? Its parts are run on changed text and on noise to find out.

normalised            Z = Σ_v p(v) over the vocabulary is 1 at sampled targets
causal                a change of x_j and all after it changes nothing before, bit for bit
score_before_update   x_j is scored by what was known before it, and looking changes no state
once_each             every target is scored once over all ranks, and the bytes are the text's
null_stream           tokens drawn uniformly cost at least log2(vocabulary) bits each

What needs the gate's state is checked while a row is mixed (`fairway.audit.witness`). Conditions
of a valid score as in parameter-golf issue #1017: p_t depends on the artifact and the tokens
before t alone, sums to 1, is fixed before x_t is looked at, and each token is scored once.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

from fairway.corpus.windows import WindowPlan
from fairway.rows.gate import Counts, RowGate, count_blocks, pieces
from fairway.scoring.scores import Scores

ScoreWindows = Callable[[np.ndarray, Sequence[int]], tuple[np.ndarray, np.ndarray]]


def changed_tail(
    tokens: np.ndarray, start: int, vocabulary: int, generator: np.random.Generator
) -> np.ndarray:
    """A copy of the tokens in which every one from index `start` on is another one."""
    changed = np.array(tokens, dtype=np.uint16)
    shift = generator.integers(1, vocabulary, len(tokens) - start)
    changed[start:] = (changed[start:] + shift) % vocabulary
    return changed


def first_moved(found: np.ndarray, again: np.ndarray) -> int | None:
    """The first index at which arrays (targets, …) are not the same bit for bit; None if none."""
    differs = found != again
    differs = differs.any(axis=tuple(range(1, differs.ndim)))
    return int(differs.argmax()) if differs.any() else None


def scores_stay(
    plan: WindowPlan, score: ScoreWindows, tokens: np.ndarray, changed: np.ndarray, target: int
) -> bool:
    """Whether a change from x_target on leaves the model's scores before it alone, bit for bit.

    score(tokens, window indices): nll and entropy of those windows' targets. The windows that
    hold the target's position are scored twice; only the target's own nll may differ up to it.
    """
    lowest = max(0, -(-(target - plan.length) // plan.stride))
    windows = range(lowest, min(target // plan.stride, len(plan) - 1) + 1)
    before = target - plan.window(windows[0]).first_target  # targets below the changed one
    (nll, entropy), (nll_changed, entropy_changed) = (
        score(text, windows) for text in (tokens, changed)
    )
    nll_stays = first_moved(nll[:before], nll_changed[:before]) is None
    return nll_stays and first_moved(entropy[: before + 1], entropy_changed[: before + 1]) is None


def counts_stay(stored: Counts, recounted: Counts, target: int) -> bool:
    """Whether two counts that begin at one target agree up to `target`, but for its own hits.

    recounted: of a text that is another one from x_target on.
    """
    blocks = zip(count_blocks(stored), count_blocks(recounted), strict=False)
    for (first, *rows), (_, *others) in blocks:
        before = target - first
        if before < 0:
            break
        pairs = list(zip(rows, others, strict=True))
        if any(first_moved(a[:before], b[:before]) is not None for a, b in pairs):
            return False
        context = pairs[0], pairs[2]  # of (order, hits, total) and (totals, hits, distinct)
        if any(first_moved(a[before:][:1], b[before:][:1]) is not None for a, b in context):
            return False
    return True


def null_stream_nats(
    gate: RowGate, count: Callable[[], Counts], tokens: np.ndarray, vocabulary: int
) -> np.ndarray:
    """Nats of every target of a text of uniformly drawn tokens under a uniform model.

    count(): the cache's counts of this text, hashed tables at the row's load; None without cache.
    """
    uniform = np.full(len(tokens) - 1, math.log(vocabulary), dtype=np.float32)
    scores, state = Scores(1, uniform, uniform, "", ""), gate.start()
    return np.concatenate(
        [
            gate.nats(state, tokens[piece.first_target :][: len(piece.nll)], piece)
            for piece in pieces(scores, count())
        ]
    )
