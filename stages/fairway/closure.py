"""Which files a script imports from this project, and the hash of their code.

Imports are followed over the syntax tree, so nothing is run. The hash is over the syntax trees,
so comments and formatting do not count. Dynamic imports are not seen; tests forbid them.
"""

import ast
import hashlib
from functools import cache
from pathlib import Path

STAGES = Path(__file__).resolve().parent.parent


def import_closure(script: Path, root: Path = STAGES) -> list[Path]:
    """Files under `root` that `script` imports, itself included, directly or not, sorted."""
    found: set[Path] = set()
    open_files = [Path(script).resolve()]
    while open_files:
        file = open_files.pop()
        if file in found:
            continue
        found.add(file)
        open_files.extend(_imported_files(file, root))
    return sorted(found)


@cache
def _imported_files(file: Path, root: Path) -> tuple[Path, ...]:
    modules: set[str] = set()
    for node in ast.walk(ast.parse(file.read_bytes(), filename=str(file))):
        if isinstance(node, ast.Import):
            modules.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            modules.add(node.module)
            modules.update(f"{node.module}.{alias.name}" for alias in node.names)
    found: set[Path] = set()
    for module in modules:
        parts = module.split(".")
        for depth in range(1, len(parts) + 1):
            base = root.joinpath(*parts[:depth])
            found.update(p for p in (base.with_suffix(".py"), base / "__init__.py") if p.is_file())
    return tuple(sorted(found))


def canonical_source(file: Path) -> str:
    """The file's code without comments and formatting, as `ast.unparse` writes it."""
    return ast.unparse(ast.parse(Path(file).read_bytes(), filename=str(file)))


def code_sha256(script: Path, root: Path = STAGES) -> str:
    """Hash of the code of everything `script` imports from under `root`."""
    digest = hashlib.sha256()
    for file in import_closure(script, root):
        digest.update(str(file.relative_to(root)).encode() + b"\0")
        digest.update(_tree_dump(file).encode() + b"\0")
    return digest.hexdigest()


@cache
def _tree_dump(file: Path) -> str:
    return ast.dump(ast.parse(file.read_bytes(), filename=str(file)))
