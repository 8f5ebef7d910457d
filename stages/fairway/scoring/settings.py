"""How a model scores: its `scoring` section, beside windows and ranks."""

from fairway.corpus.windows import RankedWindows
from fairway.files.spec import Count, Device, Precision, Threads


class ScoringSettings(RankedWindows):
    """config.yaml says what the keys mean."""

    device: Device
    threads: Threads
    compile: bool
    precision: Precision
    batch_windows: Count
