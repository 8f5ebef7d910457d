"""Documents: docstrings of packages, text files, and the split."""

import json
import lzma
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import zstandard

from fairway.corpus.docstrings import package_docstrings, source_docstrings, source_files
from fairway.corpus.documents import expand_paths, load_split, read_documents, split
from fairway.corpus.packages import versions_of
from fairway.stage import StageError

SOURCE = '''
"""Module."""
raise SystemExit("the source must not be run")

class A:
    """Class

        indented
    End.
    """
    if True:
        async def f(self):
            r"""Function \\d."""
            def inner(): "Inner."
try:
    pass
except ValueError:
    def handler():
        """In a handler."""
match 1:
    case 1:
        def matched():
            """In a case."""
def other():
    1
    """not a docstring"""
'''

ATTACHED = '''
add_docstr(torch.abs, """abs(x)
""" + r"""
Absolute \\value. {input}
""".format(**common))
_C._add_docstr(f, "Second.")
add_docstr_all("name", """Third.""")
add_newdoc("numpy._core", "flatiter", """Fourth.""")
add_newdoc("numpy._core", "flatiter", ("base", """Fifth."""))
add_newdoc("numpy._core", "flatiter", [("a", "Sixth."), ("b", "Seventh.")])
add_newdoc_for_scalar_type("half", [], doc="Eighth.")
add_docstr(f, computed())
add_docstr(f, f"no {x}")
other("not this")
def function():
    """A docstring too."""
'''


def test_docstrings_of_statements_at_any_depth() -> None:
    assert list(source_docstrings(SOURCE.encode())) == [
        "Module.",
        "Class\n\n    indented\nEnd.",
        "Function \\d.",
        "Inner.",
        "In a handler.",
        "In a case.",
    ]


def test_texts_attached_by_calls() -> None:
    assert sorted(source_docstrings(ATTACHED.encode())) == sorted(
        [
            "abs(x)\n\nAbsolute \\value. {input}",
            *("Second.", "Third.", "Fourth.", "Fifth.", "Sixth.", "Seventh.", "Eighth."),
            "A docstring too.",
        ]
    )


@pytest.mark.parametrize(
    "source", [b"def f(:", b"{{ template }}\0", b'"""\\ud800"""', b'"""  """', b"\xff\xfe", b""]
)
def test_unusable_sources_give_nothing(source: bytes) -> None:
    assert list(source_docstrings(source)) == []


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package `fairway_sample` that must not be imported."""
    root = tmp_path / "fairway_sample"
    for name in ("b.py", "a/__init__.py", "__init__.py", "tests/test_a.py"):
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f'"""File {name}."""\nraise SystemExit\ndef f():\n    """Same."""\n')
    (root / "notes.txt").write_text("no source")
    monkeypatch.syspath_prepend(tmp_path)
    return root


def test_package_is_read_and_not_imported(package: Path) -> None:
    texts = package_docstrings(["fairway_sample"])
    assert texts == ["File __init__.py.", "Same.", "File a/__init__.py.", "File b.py."]
    assert "fairway_sample" not in sys.modules


def test_order_of_files_is_that_of_their_names(package: Path) -> None:
    files = [file.relative_to(package).as_posix() for file in source_files("fairway_sample")]
    assert files == ["__init__.py", "a/__init__.py", "b.py"]


def test_package_that_is_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fairway_single.py").write_text('"""One file."""\n')
    monkeypatch.syspath_prepend(tmp_path)
    assert package_docstrings(["fairway_single"]) == ["One file."]


@pytest.mark.parametrize(
    "name", ["no_such_package", "no.such.package", "../numpy", "", "a b", "é"]
)
def test_package_that_is_not_there(name: str) -> None:
    for function in (source_files, versions_of):
        with pytest.raises(StageError, match=rf"corpus\.packages: '{name}' is not installed"):
            function(name)


def test_package_without_source_is_an_error() -> None:
    with pytest.raises(StageError, match=r"corpus\.packages: 'sys' has no Python source"):
        source_files("sys")


@pytest.mark.parametrize(
    ("names", "installed"),
    [
        (("yaml", "PyYAML", "pyyaml"), "PyYAML"),  # only the names of modules have one spelling
        (("numpy", "NumPy"), "numpy"),
        (("jinja2", "Jinja2"), "Jinja2"),
    ],
)
def test_imported_and_installed_names_are_the_same(names: tuple[str, ...], installed: str) -> None:
    for name in names:
        assert versions_of(name) == {installed: version(installed)}
        assert source_files(name) == source_files(names[0])


def test_versions_of_what_has_no_package_of_its_own(package: Path) -> None:
    assert versions_of("email") == {"python": platform.python_version()}
    with pytest.raises(StageError, match=r"'fairway_sample' is from no installed package"):
        versions_of("fairway_sample")


def test_package_of_several_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("fairway_b.py", "fairway_a/__init__.py", "_fairway_c.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f'"""File {name}."""\n')
    described = tmp_path / "Fair_Way-1.2.dist-info"
    described.mkdir()
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: Fair-Way\nVersion: 1.2\n")
    (described / "top_level.txt").write_text("fairway_a\nfairway_b\n_fairway_c\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert package_docstrings(["fair-way"]) == [
        "File fairway_a/__init__.py.",
        "File fairway_b.py.",
    ]
    for name in ("fair-way", "Fair_Way", "fairway_a", "fairway_b"):
        assert versions_of(name) == {"Fair-Way": "1.2"}


def test_numpy_has_both_kinds_of_documentation() -> None:
    texts = package_docstrings(["numpy"])
    assert len(texts) == len(set(texts)) > 1500
    assert any(text.startswith("Flat iterator object to iterate over arrays.") for text in texts)
    assert any("Return the least-squares solution to a linear" in text for text in texts)


def write(path: Path, content: bytes) -> Path:
    if path.suffix == ".xz":
        content = lzma.compress(content)
    if path.suffix == ".zst":
        content = zstandard.compress(content)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("ending", ["", ".xz", ".zst"])
def test_text_file_is_one_document(tmp_path: Path, ending: str) -> None:
    content = "  One\r\n\r\ndocument… \n"
    path = write(tmp_path / f"a.b.txt{ending}", content.encode())
    assert list(read_documents(path)) == [content]


def test_separator_divides_a_text_file(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", b"First:\nwords\n\nSecond:\n words\n")
    assert list(read_documents(path, "\n\n")) == ["First:\nwords", "Second:\n words\n"]


@pytest.mark.parametrize("ending", ["", ".xz", ".zst"])
def test_jsonl_has_a_document_per_line(tmp_path: Path, ending: str) -> None:
    texts = ["a\n\nb", " é\u2028… ", "c"]
    lines = "\n\n".join(json.dumps({"id": 1, "text": t}, ensure_ascii=False) for t in texts)
    path = write(tmp_path / f"a.jsonl{ending}", lines.encode())
    assert list(read_documents(path, "\n\n")) == texts


@pytest.mark.parametrize(
    "line",
    [
        *(b'{"text": "cut', b'{"id": 1}', b'{"text": 3}', b"[]", b'"text"', b'{"text": null}'),
        *(b'{"text": "\\ud800"}', b'{"text": "\xff"}', b"[" * 100_000),
    ],
)
def test_unreadable_line_is_named(tmp_path: Path, line: bytes) -> None:
    path = write(tmp_path / "a.jsonl", b'{"text": "good"}\n\n' + line + b"\n")
    with pytest.raises(StageError, match=r'a\.jsonl: line 3: expected a JSON object .* "text"'):
        list(read_documents(path))


def test_text_must_be_utf8(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", b"caf\xe9 au lait")
    with pytest.raises(StageError, match=r"a\.txt: not UTF-8 at byte 3"):
        list(read_documents(path))


def test_kind_of_file_must_be_known(tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"a\.csv\.xz: not \.txt or \.jsonl"):
        list(read_documents(write(tmp_path / "a.csv.xz", b"")))


def test_paths_and_patterns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("b.txt", "a.txt", "[c].txt", "sub/d.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path / "sub")
    for base in (str(tmp_path), ".."):
        patterns = [f"{base}/b.txt", f"{base}/[[]c].txt", f"{base}/[c].txt", f"{base}/*.txt"]
        found = expand_paths("corpus.paths", patterns)
        assert [file.name for file in found] == ["b.txt", "[c].txt", "a.txt"]
    assert [file.name for file in expand_paths("k", [f"{tmp_path}/**/d.txt"])] == ["d.txt"]
    for pattern in ("*.jsonl", "nothing.txt", str(tmp_path)):
        with pytest.raises(StageError, match=r"corpus\.paths: .*: no such file"):
            expand_paths("corpus.paths", [pattern])


@pytest.mark.parametrize("pattern", [300 * "x", "a**/b.txt", "sub/" + 300 * "x" + "/*"])
def test_a_pattern_that_no_file_can_have_is_one_line(tmp_path, monkeypatch, pattern):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    with pytest.raises(StageError, match=r"^k: ") as caught:
        expand_paths("k", [pattern])
    assert len(str(caught.value).splitlines()) == 1


def test_file_under_several_names_comes_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / "a.txt", tmp_path / "b.txt"
    first.touch()
    second.touch()
    (tmp_path / "sub").mkdir()
    (tmp_path / "hard.txt").hardlink_to(first)
    (tmp_path / "soft.txt").symlink_to(second)
    (tmp_path / "folder").symlink_to(tmp_path)
    monkeypatch.chdir(tmp_path)
    names = ["a.txt", "./b.txt", "sub/../a.txt", "folder/b.txt", "*.txt", f"{tmp_path}/*.txt"]
    names += ["hard.txt", "soft.txt", "[ab].txt"]
    assert expand_paths("corpus.paths", names) == [Path("a.txt"), Path("b.txt")]
    assert [file.name for file in expand_paths("corpus.paths", names[::-1])] == ["a.txt", "b.txt"]
    assert expand_paths("corpus.paths", ["soft.txt", "hard.txt", *names]) == [
        Path("soft.txt"),
        Path("hard.txt"),
    ]


TEXTS = [f"document {index}" for index in range(1000)]


def test_split_depends_on_the_texts_alone() -> None:
    train, val = split(TEXTS, 0.1)
    assert sorted(train + val) == sorted(TEXTS)
    assert 60 < len(val) < 140
    assert split(TEXTS[::-1], 0.1) == (train, val)


def test_split_moves_no_document_when_others_come() -> None:
    _, small = split(TEXTS[:500], 0.1)
    _, large = split(TEXTS, 0.1)
    assert small == [text for text in large if text in TEXTS[:500]]


def test_larger_fraction_keeps_what_was_held_out() -> None:
    (_, small), (_, large) = split(TEXTS, 0.05), split(TEXTS, 0.1)
    assert large[: len(small)] == small


def test_equal_texts_stay_together() -> None:
    train, val = split(TEXTS * 2, 0.1)
    assert not set(train) & set(val)


@pytest.mark.parametrize("fraction", [0.0, 1.0])
def test_empty_side_is_an_error(fraction: float) -> None:
    with pytest.raises(StageError, match=rf"corpus.val_fraction: {fraction} of 1000 documents"):
        split(TEXTS, fraction)


def text_settings(path: Path, **others: Any) -> dict[str, Any]:
    return {"kind": "text", "paths": [str(path)], "val_fraction": 0.5, **others}


def test_blank_documents_do_not_count(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.txt", b"one\n\n\n\n  \n\n" + b"\n\n".join(b"%d" % i for i in range(9))
    )
    settings = text_settings(path, document_separator="\n\n", minimum_documents=10)
    train, val = load_split(settings)
    assert sorted(train + val) == sorted(["one", *map(str, range(9))])
    with pytest.raises(StageError, match="corpus: 10 documents; expected at least 11"):
        load_split({**settings, "minimum_documents": 11})


def test_separator_that_occurs_nowhere(tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt"):
        write(tmp_path / name, b"one\n\ntwo\n\nthree")
    settings = text_settings(tmp_path / "*.txt", minimum_documents=1)
    with pytest.raises(StageError) as caught:
        load_split(settings | {"document_separator": "\\n\\n"})
    message = str(caught.value)
    assert r'corpus.document_separator: "\\n\\n" occurs in no .txt file' in message
    assert "(2); expected" in message
    write(tmp_path / "b.txt", rb"here\n\nand\n\nthere")  # it is enough that it occurs in one
    train, val = load_split(settings | {"document_separator": r"\n\n"})
    assert len(train) + len(val) == 4
    write(tmp_path / "c.jsonl", b'{"text": "a"}\n{"text": "b"}\n{"text": "c"}\n')
    lines = text_settings(tmp_path / "c.jsonl", minimum_documents=1)
    assert load_split(lines | {"document_separator": "\f"}) == load_split(lines)


@pytest.mark.parametrize(
    ("content", "value"),
    [
        ("one\n\ntwo\nlines\n\nthree", r'"\n\n"'),
        ("one\r\n\r\ntwo\r\nlines\r\n\r\nthree", r'"\r\n\r\n"'),
        ("one\ntwo\n\nthree", r'"\n"'),
        ("one\ntwo", r'"\n"'),
    ],
)
def test_whole_text_file_is_told_what_to_write(tmp_path: Path, content: str, value: str) -> None:
    settings = text_settings(write(tmp_path / "a.txt.xz", content.encode()), minimum_documents=2)
    with pytest.raises(StageError) as caught:
        load_split(settings)
    assert str(caught.value).endswith(f"documents, write document_separator: {value}")


def test_single_document_that_is_enough_is_told_too(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", b"one\n\ntwo")
    with pytest.raises(StageError, match=r"0 for validation.*document_separator: \"\\n\\n\"$"):
        load_split(text_settings(path, minimum_documents=1))


def test_nothing_to_cut_at_is_no_advice(tmp_path: Path) -> None:
    for name, content in (("a.txt", b"one"), ("a.jsonl", b'{"text": "one\\n\\ntwo"}')):
        settings = text_settings(write(tmp_path / name, content), minimum_documents=2)
        with pytest.raises(StageError, match=r"at least 2 \(corpus\.minimum_documents\)$"):
            load_split(settings)


def test_missing_key_is_named() -> None:
    with pytest.raises(StageError, match=r"corpus\.paths: missing; corpus\.kind text needs it"):
        load_split({"kind": "text", "minimum_documents": 1, "val_fraction": 0.5})
