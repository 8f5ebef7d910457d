"""The gates against the published rule's mixed scores."""

import numpy as np
import pytest

from fairway.gates.match import match_gate
from support.shared_data import require_shared

SCALE = 1 << 31  # the vectors hold p_ngram; as a count out of 2^31 it keeps every float32 digit
GATES = {
    "uniform7": ({"kind": "entropy", "threshold": 4.0}, 7),
    "uniform15": ({"kind": "entropy", "threshold": 4.0}, 15),
    "adaptive15": (
        {"kind": "order_adaptive", "threshold_low_order": 4.5, "threshold_high_order": 2.5},
        15,
    ),
}
CASES = [f"{name}.b{buckets}.r0of1" for name in GATES for buckets in (4194304, 4096)] + [
    f"adaptive15.b{buckets}.r5of8" for buckets in (4194304, 4096)
]


@pytest.mark.parametrize("case", CASES)
def test_mixed_nats_equal_the_published_rule(case):
    with np.load(require_shared("golden/reference_rule.npz")) as vectors:
        probability, order = vectors[f"{case}.p"][1:], vectors[f"{case}.order"][1:]
        expected = vectors[f"{case}.nll"][1:]
        nll, entropy = vectors["nll"], vectors["entropy"]
    scored = ~np.isnan(expected)
    assert scored.sum() > 1000
    settings, max_order = GATES[case.split(".")[0]]
    matched = order[scored] > 0
    nats = match_gate(settings, max_order, hashed=True).nats(
        nll[scored],
        entropy[scored],
        np.where(matched, order[scored], 0).astype(np.uint8),
        np.where(matched, np.rint(probability[scored] * float(SCALE)), 0).astype(np.uint32),
        np.full(scored.sum(), SCALE, dtype=np.uint32),
    )
    np.testing.assert_allclose(nats, expected[scored], rtol=0, atol=1e-5)
