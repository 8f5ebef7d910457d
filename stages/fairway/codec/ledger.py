"""What a row's decoder needs, byte by byte: network, memory, and its code as one bundle.

The code is that which the decoder imports of this project, so a bundle is all of it that decoding
needs, and its size is what the code costs. Installed packages and the tokenizer do not count, as
in the contest. A row with hashed counts has no decoder; what scores it is counted, packed alike.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fairway.bundle import bundle, code_files, name_in_bundle
from fairway.closure import STAGES, canonical_source
from fairway.stage import require_file, sha256_of

ROW = ("row", "model", "windows", "gate", "cache_settings", "vocabulary")  # what a decoder reads
NEURAL = STAGES / "fairway" / "codec" / "neural.py"  # the module that loads a network
DECODER = ("codec.py",)
SCORER = ("score_targets.py", "count_ngrams.py", "mix_scores.py")


def decoder_files(network: bool, decodable: bool) -> list[Path]:
    """The project's files that a row's decoder imports; of one without a decoder, its scorer's.

    network: whether the row has one; without, the module that loads it is never imported.
    """
    left_out = frozenset() if network else frozenset({NEURAL})
    return code_files(DECODER if decodable else SCORER, left_out)


def decoder(settings: Mapping[str, Any]) -> tuple[bytes, list[Path]]:
    """The bundle of a row and the files in it. settings: of the row, as pack_row has them."""
    files = decoder_files(settings["model"] is not None, settings["decodable"])
    row = {key: settings[key] for key in ROW}
    return bundle(files, "codec" if settings["decodable"] else None, row), files


def row_ledger(
    content: bytes,
    files: list[Path],
    artifacts: Mapping[str, Path | None],
    memory: Path | None,
    limit: int,
) -> dict[str, Any]:
    """What a row's decoder needs, in bytes; it fits if `headroom_bytes` is above 0.

    content: the bundle, of `files`; artifacts: by seed, None without a network; memory: of the
    row's cache, if it has one. total_bytes is the largest seed's sum. source_bytes and `files`
    are of plain source, as it stands in the checkout and without what only a reader needs.
    """
    of_memory = _size(memory)
    seeds = {}
    for seed, path in artifacts.items():
        total = _size(path) + of_memory + len(content)
        sizes = {"network_bytes": _size(path), "total_bytes": total}
        seeds[seed] = sizes | {"artifact_sha256": sha256_of(path) if path else None}
    total = max(sizes["total_bytes"] for sizes in seeds.values())
    return {
        "limit_bytes": limit,
        "total_bytes": total,
        "headroom_bytes": limit - total,
        "seeds": seeds,
        "memory_bytes": of_memory,
        "memory_sha256": sha256_of(memory) if memory else None,
        "bundle_bytes": len(content),
        "bundle_sha256": hashlib.sha256(content).hexdigest(),
        "source_bytes": sum(file.stat().st_size for file in files),
        "files": {name_in_bundle(file): len(canonical_source(file).encode()) for file in files},
    }


def _size(path: Path | None) -> int:
    return require_file(path).stat().st_size if path else 0
