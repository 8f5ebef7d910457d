"""How far long work is: a bar on a terminal, a line now and then in a log."""

import sys
import time


class Progress:
    """A progress bar on a terminal; one line per interval in a log, with speed and time left.

    total: number of units of work; unit: their name; interval: seconds between log lines.
    """

    def __init__(self, total: int, unit: str, interval: float = 10.0) -> None:
        self.total, self.unit, self.interval = total, unit, interval
        self.done = 0
        self.start = self.last = time.monotonic()
        self.bar = None
        if sys.stderr.isatty():
            from tqdm import tqdm

            self.bar = tqdm(total=total, unit=f" {unit}", unit_scale=True)

    def update(self, count: int, note: str = "") -> None:
        """Add `count` finished units; `note` is shown behind the figures."""
        self.done += count
        if self.bar is not None:
            self.bar.set_postfix_str(note, refresh=False)
            self.bar.update(count)
            return
        now = time.monotonic()
        if now - self.last >= self.interval or self.done >= self.total:
            self.last = now
            speed = self.done / max(now - self.start, 1e-9)
            left = (self.total - self.done) / max(speed, 1e-9)
            print(
                f"{self.done:,}/{self.total:,} {self.unit}, {speed:,.0f} {self.unit}/s, "
                f"{left:.0f} s left {note}".rstrip(),
                file=sys.stderr,
                flush=True,
            )

    def close(self) -> None:
        """End the bar's line on a terminal."""
        if self.bar is not None:
            self.bar.close()
