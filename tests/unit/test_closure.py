"""Code hashes see every edit of every imported file, and nothing that is not code."""

import ast
from pathlib import Path

import pytest

from fairway.closure import (
    STAGES,
    canonical_source,
    code_sha256,
    import_closure,
    imported_packages,
)

SCRIPTS = sorted(STAGES.glob("*.py"))


@pytest.fixture
def package(tmp_path: Path) -> Path:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "__init__.py").write_text("")
    (tmp_path / "lib" / "used.py").write_text("import lib.deep\nvalue = 1\n")
    (tmp_path / "lib" / "deep.py").write_text("value = 2\n")
    (tmp_path / "lib" / "unused.py").write_text("value = 3\n")
    (tmp_path / "stage.py").write_text("def f():\n    from lib import used\n    return used\n")
    return tmp_path


def hash_after(root: Path, file: str, text: str) -> str:
    # a fresh root each time: parsed files are remembered for the length of a process
    copy = root.parent / f"{root.name}-{abs(hash((file, text)))}"
    for source in root.rglob("*.py"):
        target = copy / source.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text if str(source.relative_to(root)) == file else source.read_text())
    return code_sha256(copy / "stage.py", copy)


def test_closure_follows_imports_inside_functions(package):
    names = [str(p.relative_to(package)) for p in import_closure(package / "stage.py", package)]
    assert names == ["lib/__init__.py", "lib/deep.py", "lib/used.py", "stage.py"]


@pytest.mark.parametrize(
    ("file", "text", "changes"),
    [
        ("lib/deep.py", "# a remark\nvalue   =  2\n", False),
        ("lib/deep.py", '"""What it is for."""\n\nvalue = 2\n', False),
        ("lib/deep.py", "value = 22\n", True),
        ("lib/used.py", "import lib.deep\nvalue = 11\n", True),
        ("lib/unused.py", "value = 33\n", False),
        ("stage.py", "def f():\n    from lib import used\n    return used, 1\n", True),
    ],
)
def test_hash_changes_with_imported_code_only(package, file, text, changes):
    before = code_sha256(package / "stage.py", package)
    assert (hash_after(package, file, text) != before) is changes


def test_canonical_source_is_the_same_code_without_docstrings(package):
    file = package / "lib" / "used.py"
    original = file.read_text()
    source = canonical_source(file)
    assert ast.dump(ast.parse(source)) == ast.dump(ast.parse(original))
    file.write_text(f'"""Uses."""\n{original}def f():\n    """Does nothing."""\n')
    assert canonical_source(file) == f"{source}\n\ndef f():\n    pass"


def test_imported_packages_are_those_of_the_whole_closure(package):
    (package / "lib" / "deep.py").write_text("import json\nfrom numba.core import types\n")
    (package / "lib" / "unused.py").write_text("import torch\n")
    assert imported_packages(package / "stage.py", package) == ["numba"]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_no_dynamic_imports_of_project_code(script):
    loader = STAGES / "fairway" / "unbundle.py"  # starts what is in a bundle, never code from here
    for file in set(import_closure(script)) - {loader}:
        for node in ast.walk(ast.parse(file.read_bytes())):
            called = node.func if isinstance(node, ast.Call) else None
            name = getattr(called, "attr", getattr(called, "id", None))
            assert name not in ("import_module", "__import__", "exec", "eval") or (
                name == "eval" and isinstance(called, ast.Attribute)  # torch's Module.eval()
            ), f"{file.name}: {name} hides imports from the code hash"
