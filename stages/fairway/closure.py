"""Which files a script imports from this project, and the hash of their code.

Imports are followed over the syntax tree, so nothing is run. The hash is over the syntax trees
without docstrings, so that comments, formatting and documentation do not count. Dynamic imports
are not seen; tests forbid them.
"""

import ast
import hashlib
import os
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

STAGES = Path(__file__).resolve().parent.parent


def import_closure(
    script: Path, root: Path = STAGES, left_out: frozenset[Path] = frozenset()
) -> list[Path]:
    """Files under `root` that `script` imports, itself included, directly or not, sorted.

    left_out: files that are taken as never imported.
    """
    found: set[Path] = set()
    open_files = [Path(script).resolve()]
    while open_files:
        file = open_files.pop()
        if file in found or file in left_out:
            continue
        found.add(file)
        open_files.extend(_imported_files(file, root))
    return sorted(found)


@cache
def imported_packages(script: Path, root: Path = STAGES) -> list[str]:
    """Names of what `script`, or anything that it imports from `root`, imports from elsewhere.

    Top-level names, sorted, without Python's own library.
    """
    names = {
        name.split(".")[0] for file in import_closure(script, root) for name in _read(file)[0]
    }
    own = {name for name in names if (root / name).is_dir() or (root / f"{name}.py").is_file()}
    return sorted(names - own - sys.stdlib_module_names)


@cache
def _imported_files(file: Path, root: Path) -> frozenset[Path]:
    return frozenset().union(*(_files_of(module, root) for module in _read(file)[0]))


@cache
def _files_of(module: str, root: Path) -> frozenset[Path]:
    """Files that run when a module is imported: its own and those of the packages it is in."""
    base = root.joinpath(*module.split("."))
    own = {file for file in (base.with_suffix(".py"), base / "__init__.py") if file.is_file()}
    package = module.rpartition(".")[0]
    return own | _files_of(package, root) if package else frozenset(own)


def canonical_source(file: Path) -> str:
    """The file's code without comments, docstrings and formatting, as `ast.unparse` writes it."""
    return ast.unparse(_code(Path(file))[1])


@cache
def code_sha256(script: Path, root: Path = STAGES) -> str:
    """Hash of the code of `script` and of everything it imports from under `root`."""
    digest = hashlib.sha256()
    for file in import_closure(script, root):
        digest.update(os.path.relpath(file, root).encode() + b"\0")
        digest.update(_read(file)[1])
    return digest.hexdigest()


@cache
def _read(file: Path) -> tuple[frozenset[str], bytes]:
    """What a file's imports may mean, modules and names in them; and the SHA-256 of its code."""
    modules, tree = _code(file)
    return modules, hashlib.sha256(ast.dump(tree).encode()).digest()


def _code(file: Path) -> tuple[frozenset[str], ast.Module]:
    """What a file imports, and its syntax tree without docstrings.

    What has no other body than a docstring keeps an empty one.
    """
    tree = ast.parse(file.read_bytes(), filename=str(file))
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    modules: set[str] = set()
    for node in statements(tree):
        if isinstance(node, ast.Import):
            modules.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            modules.add(node.module)
            modules.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return frozenset(modules), tree


def statements(node: ast.AST) -> Iterator[ast.AST]:
    """A module or statement and all within it, with no look at expressions, which are most."""
    yield node
    for part in ("body", "orelse", "handlers", "finalbody", "cases"):
        for statement in getattr(node, part, ()):
            yield from statements(statement)
