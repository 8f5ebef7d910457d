"""No logit depends on a later token, nor on how many there are."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from support.tiny_models import CONTEXT, VOCABULARY, tiny_model

MODEL = tiny_model(5)
SHORT_BASE = tiny_model(5, rope_train_length=8)  # NTK-scaled
TOKENS = st.lists(st.integers(0, VOCABULARY - 1), min_size=2, max_size=CONTEXT)


@settings(max_examples=25, deadline=None)
@given(data=st.data(), tokens=TOKENS)
def test_logits_do_not_see_later_tokens(data: st.DataObject, tokens: list[int]) -> None:
    cut = data.draw(st.integers(1, len(tokens) - 1))
    changed = [*tokens[:cut], *((token + 7) % VOCABULARY for token in tokens[cut:])]
    for model in (MODEL, SHORT_BASE):
        both = model(torch.tensor([tokens, changed]))
        assert torch.equal(both[0, :cut], both[1, :cut])
        assert not torch.equal(both[0, cut], both[1, cut])
        alone = model(torch.tensor([tokens[:cut]]))
        torch.testing.assert_close(alone[0], both[0, :cut], atol=1e-5, rtol=0)


@settings(max_examples=25, deadline=None)
@given(tokens=TOKENS)
def test_every_earlier_token_can_matter(tokens: list[int]) -> None:
    changed = [(tokens[0] + 7) % VOCABULARY, *tokens[1:]]
    both = MODEL(torch.tensor([tokens, changed]))
    assert not torch.equal(both[0, -1], both[1, -1])


@settings(max_examples=10, deadline=None)
@given(tokens=TOKENS)
def test_sequences_of_a_batch_do_not_meet(tokens: list[int]) -> None:
    other = [(token + 1) % VOCABULARY for token in tokens]
    both = MODEL(torch.tensor([tokens, other]))
    torch.testing.assert_close(MODEL(torch.tensor([other]))[0], both[1], atol=1e-5, rtol=0)
