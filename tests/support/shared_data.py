"""Where tests find data that is never committed: the folder `shared` beside the checkout."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[3] / "shared"


def require_shared(name: str) -> Path:
    """Path of a shared data file, or skip the calling test, saying which file is absent."""
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"shared data absent: {name} (expected in {SHARED})")
    return path
