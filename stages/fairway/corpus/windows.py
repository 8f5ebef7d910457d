"""Sliding windows over a text and their division among ranks.

A text of N+1 tokens has targets 1…N: token x_j is predicted from the tokens before it. Windows
of `length` inputs start at 0, stride, 2·stride, …; the first scores all its targets, each later
one its last `stride`, so that every target is scored exactly once. Ranks take contiguous,
near-equal runs of windows. No numpy: counting, scoring and mixing share this plan.
"""

from dataclasses import dataclass
from typing import TypedDict

from fairway.files.spec import Count, Ranks
from fairway.stage import StageError


class WindowSettings(TypedDict):
    """The `windows` section, tokens."""

    length: Count
    stride: Count


class RankedWindows(TypedDict):
    """What every job that scores, counts or mixes must agree on."""

    windows: WindowSettings
    ranks: Ranks


@dataclass(frozen=True)
class Window:
    """Inputs x[start:stop] predict targets start+1 … stop; those from first_target are scored."""

    start: int
    stop: int
    first_target: int

    @property
    def last_target(self) -> int:
        return self.stop


@dataclass(frozen=True)
class WindowPlan:
    """All windows over `targets` targets. Raises StageError if no window fits or stride > length.

    targets: N, one less than the number of tokens; length, stride: in tokens.
    """

    targets: int
    length: int
    stride: int

    def __post_init__(self) -> None:
        if not 1 <= self.stride <= self.length:
            raise StageError(
                f"windows.stride: {self.stride}; expected 1 to windows.length ({self.length})"
            )
        if self.targets < self.length:
            raise StageError(
                f"validation text: {self.targets} targets; expected at least one window "
                f"(windows.length) of {self.length}"
            )

    def __len__(self) -> int:
        return 1 + -(-(self.targets - self.length) // self.stride)

    def window(self, index: int) -> Window:
        """The index-th window; the last one may be cut short by the end of the text."""
        start = index * self.stride
        first = 1 if index == 0 else start + self.length - self.stride + 1
        return Window(start, min(start + self.length, self.targets), first)

    def window_of(self, target: int) -> int:
        """Index of the window that scores a target."""
        if not 1 <= target <= self.targets:
            raise StageError(f"target {target}: expected 1 to {self.targets}")
        return max(0, -(-(target - self.length) // self.stride))

    def rank_windows(self, rank: int, ranks: int) -> range:
        """Indices of the windows that rank `rank` of `ranks` scores; never empty."""
        if not 0 <= rank < ranks:
            raise StageError(f"rank {rank}: expected 0 to {ranks - 1} (ranks: {ranks})")
        if ranks > len(self):
            raise StageError(f"ranks: {ranks}; the validation text has only {len(self)} windows")
        return range(len(self) * rank // ranks, len(self) * (rank + 1) // ranks)

    def rank_of(self, target: int, ranks: int) -> int:
        """The rank, of `ranks`, that scores a target."""
        window = self.window_of(target)
        return next(r for r in range(ranks) if window in self.rank_windows(r, ranks))

    def rank_targets(self, rank: int, ranks: int) -> tuple[int, int]:
        """First and last target (inclusive) that a rank scores."""
        windows = self.rank_windows(rank, ranks)
        return self.window(windows[0]).first_target, self.window(windows[-1]).last_target


def require_windows(targets: int, settings: RankedWindows) -> None:
    """Raise StageError unless a text of so many targets has windows enough, one for every rank."""
    WindowPlan(targets, **settings["windows"]).rank_windows(0, settings["ranks"])
