"""Train the corpus's tokenizer on its training documents, or take a given one, checked.

    python stages/train_tokenizer.py --spec results/specs/train_tokenizer.*.json \\
        --tokenizer results/corpus/tokenizer.model

Reads: the spec (settings: the `corpus` section) and the documents or tokenizer it names.
Writes: tokenizer.model, SentencePiece BPE with byte fallback.
"""

from fairway.start import run

from pathlib import Path

from fairway.corpus.documents import load_split, required, source_files
from fairway.corpus.settings import CorpusSettings
from fairway.corpus.tokenizer import load_tokenizer, train_tokenizer
from fairway.files.spec import read_spec
from fairway.provenance import Recording
from fairway.stage import atomic_output, stage_parser


def main() -> None:
    arguments = stage_parser(__doc__, "spec", "tokenizer").parse_args()
    spec = read_spec(arguments.spec, CorpusSettings)
    settings = spec.settings
    recording = Recording(arguments.provenance, spec, sources=source_files(settings)[0])
    if settings["kind"] == "shards" or settings.get("tokenizer"):
        given = Path(required(settings, "tokenizer"))
        load_tokenizer(given, settings["vocabulary"])
        model = given.read_bytes()
    else:
        train_documents, _ = load_split(settings)
        model = train_tokenizer(train_documents, settings["vocabulary"])
    with atomic_output(arguments.tokenizer) as temporary:
        temporary.write_bytes(model)
        load_tokenizer(temporary, settings["vocabulary"])
    recording.finish(arguments.tokenizer)


if __name__ == "__main__":
    run(main)
