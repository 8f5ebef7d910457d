"""A row of Fairway's own through the same door: its model, cache and gate on any tokens.

    python stages/check_scorer.py examples/scorers/fairway_row.py:make \\
        --tokens results/corpus/val.bin --tokenizer results/corpus/tokenizer.model \\
        --with spec=results/specs/mix_scores/exact15_adaptive.json \\
        --with artifact=results/models/ebls/seed1337/artifact.bin --targets 600

A row without a model takes no artifact; one whose cache has a memory takes `--with memory=`.
A black box that tells its distribution after a prefix, by the functions of the row's own audit.
"""

from pathlib import Path

import numpy as np

from fairway.artifact.container import build_model, read_artifact
from fairway.audit.evidence import AuditTargets, CacheEvidence
from fairway.corpus.windows import WindowPlan
from fairway.counting import caches
from fairway.counting.memories import read_memory
from fairway.counting.segments import NO_MEMORY
from fairway.files.spec import read_spec
from fairway.rows.gate import pieces, row_gate
from fairway.rows.settings import RowOfAnyJob
from fairway.scoring import forward
from fairway.scoring.scores import Scores

BATCH_WINDOWS = 8


class Row:
    """settings: of mix_scores. model: None for a row without; memory: tokens its cache knows.

    table_size: buckets, for a hashed cache.
    """

    def __init__(self, vocabulary, settings, model, memory=NO_MEMORY):
        self.vocabulary, self.settings, self.model = vocabulary, settings, model
        self.gate = row_gate(settings["gate"], settings["cache_settings"], memory)
        self.cache, self.memory = None, memory
        if settings["cache_settings"]:
            self.cache = caches.CacheSettings.from_settings(settings["cache_settings"])
            self.table_size = self.cache.buckets

    def __call__(self, tokens):
        return np.concatenate(list(self.walk(tokens, self.gate.start())))

    def walk(self, tokens, state):
        """The nats of every piece of the text; moves the gate's state on."""
        plan, counts = self.plan(tokens), None
        if self.cache:
            counts = caches.count_targets(
                tokens, plan, 1, plan.targets, self.cache, memory=self.memory
            )
        for piece in pieces(self.scores(tokens, plan, range(len(plan))), counts):
            seen = tokens[piece.first_target :][: len(piece.nll)].astype(np.uint16)
            yield self.gate.nats(state, seen, piece)

    def plan(self, tokens):
        windows, targets = self.settings["windows"], len(tokens) - 1
        length = min(windows["length"], targets)
        return WindowPlan(targets, length, min(windows["stride"], length))

    def scores(self, tokens, plan, windows):
        """What the row starts from, at the targets of some windows."""
        first = plan.window(windows[0]).first_target
        if self.model is None:
            return Scores.uniform(first, plan.window(windows[-1]).stop, self.vocabulary)
        found = forward.score_windows(self.model, tokens, plan, windows, BATCH_WINDOWS)
        return Scores(first, *found, "", "")

    def distribution(self, prefix):
        """As the audit of a row has it, at the target behind the prefix."""
        target, state = len(prefix), self.gate.start()
        if target > 1:
            list(self.walk(prefix, state))
        tokens = np.append(prefix, 0)  # the target's own token matters to nothing here
        plan, targets = self.plan(tokens), np.array([target])
        model, counts = np.full(self.vocabulary, 1 / self.vocabulary), None
        if self.model is not None:
            model = forward.distributions_at(self.model, tokens, plan, targets, 1)[0]
        entropy = self.scores(tokens, plan, [plan.window_of(target)]).entropy[-1]
        if self.cache:
            found = caches.distributions_at(
                tokens, plan, targets, self.cache, self.vocabulary, memory=self.memory
            )
            wanted = AuditTargets(targets, targets[:0])
            counts = CacheEvidence.of(found, wanted, [], [], "").at(0)
        return self.gate.distribution(state, model, entropy, counts)


def make(vocabulary, spec, artifact=None, memory=None, table_size=None):
    settings = read_spec(Path(spec), RowOfAnyJob).settings
    if table_size and settings["cache_settings"]:
        settings["cache_settings"]["buckets"] = table_size
    model = build_model(read_artifact(Path(artifact))) if artifact else None
    remembered = read_memory(Path(memory)).tokens if memory else NO_MEMORY
    return Row(vocabulary, settings, model, remembered)
