"""Groups of equal contexts, refined one token at a time: every count of an exact n-gram cache.

Targets with the same w tokens before them, in text order, are a *group* of width w. For a target
of the group, order w+1:

    total     how many targets of its group come before it: so often was its context seen
    hits      how many of these have the target's own token
    distinct  how many different tokens these have

so one walk over the group gives all three, with one counter per token of the vocabulary. Then the
group is split by the token in front of the context, in text order again: each part is a group of
width w+1. A part is dropped if none of its targets has enough before it, as any part of a single
target is: so wider contexts cost less than narrow ones. This is a radix sort of all contexts, read
from right to left, that stops where nothing repeats (suffix sorting by prefix doubling drops
single members in the same way: Larsson and Sadakane, 1999).

Groups stand one after the other in a list of *entries*: uint32, a target's number, with the bit
`FIRST` set on the first of each group.

If targets are counted per segment, a target "comes before" another only if its segment does.
"""

from typing import NamedTuple

import numpy as np

from fairway.corpus.shards import BOS
from fairway.counting.segments import Segments, segment_first
from fairway.kernels.compiled import borrowing, compiled
from fairway.kernels.prefetch import prefetch

FIRST = np.uint32(1 << 31)  # flag of the first entry of a group
TARGET = np.uint32(FIRST - 1)  # the bits of an entry without the flag
MAX_TOKENS = 1 << 31
VOCABULARY = 1 << 16  # any token is below it
NEAR = 4096  # entries whose text and counts stay in a processor's own cache
_AHEAD = 32  # entries whose text is asked for before it is read
_DROPPED = np.int64(-1)  # where a group begins that is too small to matter
_NOTES = 64  # so many are written together, after their cells were asked for


class Rules(NamedTuple):
    """What is counted and what is noted.

    first_target: of the targets to report; earlier ones are only counted. widest: tokens of the
    longest context. narrowest: of the shortest to be noted. per_token: count each target before
    the next is looked up, not segment by segment. min_count: totals below are not noted.
    every_order: note every order, not just the highest. cross_documents: whether a context may
    reach over a BOS.
    """

    first_target: int
    narrowest: int
    widest: int
    segments: Segments
    per_token: bool
    min_count: int
    every_order: bool
    cross_documents: bool


class Scratch(NamedTuple):
    """Working memory of one thread, about 22 bytes per entry of the largest group."""

    # by place in the group
    token: np.ndarray  # uint16, of the target
    part: np.ndarray  # uint32, where the target falls to; 0 for nowhere
    before: np.ndarray  # uint32, the first target that is not counted yet
    total: np.ndarray
    hits: np.ndarray
    distinct: np.ndarray
    # by token, uint32, all zero between groups
    counted: np.ndarray  # how often it was a target's
    part_of: np.ndarray  # the part it stands in front of
    # by part, from 1 on, int64
    front: np.ndarray  # the token in front
    size: np.ndarray
    begin: np.ndarray  # its first entry among the refined ones
    end: np.ndarray  # its next
    notes: np.ndarray  # uint32 (_NOTES, 4): cell, hits, total, distinct


def new_scratch(largest: int) -> Scratch:
    """For groups of at most `largest` entries."""
    by_place = (np.empty(largest, dtype=np.uint32) for _ in range(5))
    by_token = (np.zeros(VOCABULARY, dtype=np.uint32) for _ in range(2))
    by_part = (np.zeros(VOCABULARY + 1, dtype=np.int64) for _ in range(4))
    notes = np.empty((_NOTES, 4), dtype=np.uint32)
    return Scratch(np.empty(largest, dtype=np.uint16), *by_place, *by_token, *by_part, notes)


@compiled
def count_tokens(tokens, first, last, counts):
    """Add to counts[t] how many of the tokens first … last are t; np.bincount would copy them."""
    for position in range(first, last + 1):
        counts[tokens[position]] += 1


@compiled
def group_by_last_token(tokens, first, last, lowest, highest, begin, entries):
    """Put targets first … last into groups of width 1, by the token before each.

    Only those where that token is lowest … highest−1: the others are left to other threads.
    begin: int64, by token, where its group begins in `entries`.
    """
    end = begin.copy()
    for target in range(first, last + 1):
        token = np.int64(tokens[target - 1])
        if lowest <= token < highest:
            place = end[token]
            end[token] = place + 1
            flag = FIRST if place == begin[token] else np.uint32(0)
            entries[place] = np.uint32(target) | flag


@compiled
def cut_between_groups(entries, most, cuts):
    """Cut a list into pieces of whole groups, at most `most` entries where groups allow it.

    cuts: int64, filled with where pieces begin, and the end; 2·entries/most + 3 elements are
    enough. Returns the number of pieces.
    """
    pieces, group = 0, 0
    cuts[0] = 0
    for i in range(1, entries.size + 1):
        if i < entries.size and entries[i] < FIRST:
            continue
        if i - cuts[pieces] > most and group > cuts[pieces]:
            pieces += 1
            cuts[pieces] = group
        group = i
    pieces += 1
    cuts[pieces] = entries.size
    return pieces


@borrowing
def _first_unseen(target, rules):
    """The first target that is not counted yet when `target` is looked up."""
    if rules.per_token:
        return target
    return segment_first(target, rules.segments)


@borrowing
def _look_up(tokens, entries, start, width, rules, scratch):
    """Walk over the group at `start`: fill the scratch by place, and the sizes of its parts.

    Returns (end of the group, number of parts).
    """
    target = np.int64(entries[start] & TARGET)
    ahead = width + 1  # the token in front of the context is so far before the target
    splits = width < rules.widest
    if not rules.cross_documents and width > 0 and tokens[target - width] == BOS:
        splits = False
    parts = distinct = 0
    i = seen = start  # entries up to `seen` are counted
    while True:
        k = i - start
        if i + _AHEAD < entries.size:
            later = np.int64(entries[i + _AHEAD] & TARGET)
            prefetch(tokens, later)
            prefetch(tokens, max(later - ahead, 0))
        target = np.int64(entries[i] & TARGET)
        token = tokens[target]
        scratch.token[k] = token
        before = _first_unseen(target, rules)
        while np.int64(entries[seen] & TARGET) < before:
            counted = scratch.token[seen - start]
            distinct += scratch.counted[counted] == 0
            scratch.counted[counted] += np.uint32(1)
            seen += 1
        scratch.before[k] = before
        scratch.total[k] = seen - start
        scratch.hits[k] = scratch.counted[token]
        scratch.distinct[k] = distinct
        part = np.uint32(0)  # of no part
        if splits and target >= ahead:
            front = tokens[target - ahead]
            part = scratch.part_of[front]
            if part == 0:
                parts += 1
                part = np.uint32(parts)
                scratch.part_of[front] = part
                scratch.front[part] = front
                scratch.size[part] = 0
            scratch.size[part] += 1
        scratch.part[k] = part
        i += 1
        if i == entries.size or entries[i] >= FIRST:
            return i, parts


@borrowing
def _lay_out(parts, fewest, kept, scratch):
    """Decide where the parts of a group go, after `kept` entries; returns the entries then."""
    scratch.begin[0] = _DROPPED
    for part in range(1, parts + 1):
        scratch.part_of[scratch.front[part]] = 0
        scratch.begin[part] = _DROPPED
        if scratch.size[part] >= fewest:
            scratch.begin[part] = scratch.end[part] = kept
            kept += scratch.size[part]
    return kept


@borrowing
def _hand_down(entries, start, end, width, rules, scratch, refined, noted, cells):
    """Move a group's entries into its parts, and note what was found of those that stay behind.

    If only the highest order is noted, a target whose part will say more is left to that: so each
    is noted once. noted: how many notes wait to be written; returns how many do then.
    """
    for i in range(start, end):
        k, target = i - start, entries[i] & TARGET
        scratch.counted[scratch.token[k]] = 0
        part, leave = scratch.part[k], False
        begin = scratch.begin[part]
        if begin != _DROPPED:
            place = scratch.end[part]
            scratch.end[part] = place + 1
            refined[place] = target | (FIRST if place == begin else np.uint32(0))
            if place - begin >= rules.min_count and not rules.every_order:
                leave = refined[begin + rules.min_count - 1] & TARGET < scratch.before[k]
        if leave or width < rules.narrowest or scratch.total[k] < rules.min_count:
            continue
        cell = np.int64(target) - rules.first_target
        if cell < 0:
            continue
        prefetch(cells, cells.shape[1] * cell)
        scratch.notes[noted, 0] = cell
        scratch.notes[noted, 1] = scratch.hits[k]
        scratch.notes[noted, 2] = scratch.total[k]
        scratch.notes[noted, 3] = scratch.distinct[k]
        noted += 1
        if noted == _NOTES:
            noted = _write_notes(scratch.notes, noted, width, cells)
    return noted


@borrowing
def _write_notes(notes, noted, width, cells):
    """Write the notes that wait to their cells, which are near by now; returns 0, those left."""
    for i in range(noted):
        cell = notes[i, 0]
        cells[cell, 0] = width + 1
        cells[cell, 1] = notes[i, 1]
        cells[cell, 2] = notes[i, 2]
        cells[cell, 3] = notes[i, 3]
    return 0


@compiled
def refine(tokens, entries, width, rules, scratch, refined, cells):
    """Look up all targets of these groups of some width, and split the groups.

    refined: gets the groups one token wider, one after the other; returns its entries. cells:
    uint32 (targets, 4), gets order, hits, total and distinct of the targets that are noted.
    """
    start = kept = noted = 0
    fewest = rules.min_count + 1  # in a smaller group nothing has enough before it
    while start < entries.size:
        end, parts = _look_up(tokens, entries, start, width, rules, scratch)
        kept = _lay_out(parts, fewest, kept, scratch)
        noted = _hand_down(entries, start, end, width, rules, scratch, refined, noted, cells)
        start = end
    _write_notes(scratch.notes, noted, width, cells)
    return kept


@compiled
def refine_fully(tokens, entries, spare, rules, scratch, cells):
    """The same for groups of width 1 and all wider ones; both lists of entries are used up.

    Lists longer than `NEAR` are cut once they are refined, and a piece is refined to the end
    before the next, so that its text and its counts stay near the processor.
    """
    longest = 2 * (entries.size // NEAR) + 3
    cuts = np.empty(longest, dtype=np.int64)
    waiting = np.empty((longest * (rules.widest + 1), 3), dtype=np.int64)  # begin, end, width
    waiting[0] = 0, entries.size, 1
    count = 1
    while count:
        count -= 1
        begin, end, width = waiting[count]
        source, target = entries[begin:end], spare[begin:end]
        if width % 2 == 0:
            source, target = target, source
        while True:
            kept = refine(tokens, source, width, rules, scratch, target, cells)
            width += 1
            source, target = target[:kept], source[:kept]
            if kept == 0 or kept > NEAR:
                break
        if kept:
            pieces = cut_between_groups(source, NEAR, cuts)
            for piece in range(pieces):
                waiting[count] = begin + cuts[piece], begin + cuts[piece + 1], width
                count += 1
