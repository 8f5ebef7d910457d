"""The document's tree against dictionaries, over several documents and changes of size."""

from collections import Counter, defaultdict

import numpy as np

from fairway.gates.bayes_counts import new_block
from fairway.gates.document_counts import (
    FEWEST_NODES,
    fitted,
    forget_document,
    new_document,
    observe_document,
    read_document_hits,
)
from fairway.gates.trees import read_contexts

DEPTH = 4
LEVELS = np.arange(DEPTH, dtype=np.uint64)


def expected(after: dict, history: list[int], token: int) -> list[tuple[int, int, int]]:
    """Total, distinct and hits at every order."""
    found = []
    for order in range(1, DEPTH + 1):
        known = len(history) >= order - 1
        followers = after[tuple(history[len(history) - order + 1 :])] if known else Counter()
        found.append((followers.total(), len(followers), followers[token]))
    return found


def count(after: dict, pairs: set, history: list[int], token: int) -> None:
    """Order 1 by continuation, the orders above every time."""
    for order in range(2, min(DEPTH, len(history) + 1) + 1):
        after[tuple(history[len(history) - order + 1 :])][token] += 1
    if (pair := tuple([*history[-1:], token])) not in pairs or not history:
        after[()][token] += 1
    pairs.add(pair)


def test_counts_equal_those_of_dictionaries():
    generator = np.random.default_rng(3)
    document, block = new_document(DEPTH), new_block(2, 8)
    for length in (300, 0, 4000, 50, 2):
        after, pairs, history = defaultdict(Counter), set(), []
        for token in generator.geometric(0.15, length).astype(np.uint16):
            document = fitted(document, 1)
            read_contexts(document, LEVELS, block.total, block.distinct, 0)
            read_document_hits(document, LEVELS, token, block.hits, 0)
            observe_document(document, token, LEVELS, block, 1)
            for order, numbers in enumerate(expected(after, history, int(token))):
                for row in (0, 1):
                    found = block.total[row, order], block.distinct[row, order]
                    if numbers[0]:
                        assert (*found, block.hits[row, order]) == numbers
                    else:
                        assert found[0] == block.hits[row, order] == 0
            count(after, pairs, history, int(token))
            history.append(int(token))
        largest = len(document.nodes)
        forget_document(document)
        assert largest > FEWEST_NODES or length < 4000
    assert len(fitted(new_document(DEPTH, 1 << 14), 1).nodes) == FEWEST_NODES


def test_content_does_not_depend_on_room_or_on_forgotten_documents():
    documents = [new_document(DEPTH), new_document(DEPTH, 1 << 14), new_document(DEPTH)]
    block = new_block(1, 8)
    observe_document(documents[2], np.uint16(9), LEVELS, block, 0)
    forget_document(documents[2])
    for document in documents:
        for token in np.array([3, 4, 3, 4, 3, 5], dtype=np.uint16):
            observe_document(document, token, LEVELS, block, 0)
    contents = {b"".join(document.content()) for document in documents}
    assert len(contents) == 1
