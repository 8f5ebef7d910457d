"""Docstrings of installed packages, read from their source over the syntax tree.

No package is imported or run. Beside module, class and function docstrings, the texts given to
torch's `add_docstr(...)` family and numpy's `add_newdoc(...)` are taken, since that is where
the documentation of compiled functions is. Test folders are passed over: not every distribution
ships them, and the corpus should not depend on that.
"""

import ast
import contextlib
import gc
import inspect
import warnings
from collections.abc import Iterator
from pathlib import Path

from fairway.closure import statements
from fairway.corpus.packages import find_module, modules_of
from fairway.progress import Progress
from fairway.stage import StageError

_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_ATTACHERS = ("add_docstr", "add_newdoc")  # parts of the names of functions that attach a text
_DOC_KEYWORDS = ("doc", "docstr", "docstring")
_TEST_FOLDERS = {"test", "tests"}


def package_docstrings(packages: list[str]) -> list[str]:
    """Docstrings of the packages, cleaned of their indentation, in order of package and path.

    An empty text, one that is not valid Unicode, and an exact repetition are left out. Source
    files that do not parse (templates) are passed over.
    packages: names by which they are imported or installed. StageError if one is not there.
    """
    files = [file for package in packages for file in source_files(package)]
    progress = Progress(len(files), "source files")
    found: dict[str, None] = {}
    with _no_collection():
        for file in files:
            found.update(dict.fromkeys(source_docstrings(file.read_bytes())))
            progress.update(1)
    progress.close()
    return list(found)


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Syntax trees have no reference cycles; looking for them costs a quarter of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def source_files(package: str) -> list[Path]:
    """Python files of an installed package, sorted by path, without its test folders.

    package: the name by which it is imported or installed. Raises StageError if it has none.
    """
    files = [file for module in modules_of(package) for file in _module_files(module)]
    if not files:
        raise StageError(f"corpus.packages: {package!r} has no Python source; expected some")
    return files


def _module_files(module: str) -> Iterator[Path]:
    spec = find_module(module)
    if spec is not None and spec.submodule_search_locations:
        for root in map(Path, spec.submodule_search_locations):
            for file in sorted(root.rglob("*.py")):
                if file.is_file() and not _TEST_FOLDERS.intersection(file.relative_to(root).parts):
                    yield file
    elif spec is not None and spec.origin and spec.origin.endswith(".py"):
        yield Path(spec.origin)


def source_docstrings(source: bytes) -> Iterator[str]:
    """Documentation texts of one source file, in its order; none if it does not parse."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes in other people's strings
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError):
            return
    attaches = any(name.encode() in source for name in _ATTACHERS)
    for node in ast.walk(tree) if attaches else statements(tree):  # where all others are
        if isinstance(node, _DOCUMENTED):
            texts = [ast.get_docstring(node, clean=False) or ""]
        elif isinstance(node, ast.Call) and _attaches_text(node.func):
            texts = list(_attached_texts(node))
        else:
            continue
        for text in map(inspect.cleandoc, texts):
            if text.strip() and _is_unicode(text):
                yield text


def _attaches_text(function: ast.expr) -> bool:
    name = getattr(function, "attr", getattr(function, "id", ""))
    return any(part in name for part in _ATTACHERS)


def _attached_texts(call: ast.Call) -> Iterator[str]:
    """Texts of an attaching call: its last argument, or the last of each pair in that."""
    arguments = [k.value for k in call.keywords if k.arg in _DOC_KEYWORDS] or call.args[-1:]
    for argument in arguments:
        entries = argument.elts if isinstance(argument, ast.List) else [argument]
        for entry in entries:
            if isinstance(entry, ast.Tuple) and entry.elts:
                entry = entry.elts[-1]
            text = _static_text(entry)
            if text is not None:
                yield text


def _static_text(node: ast.expr) -> str | None:
    """The text of a literal, a sum of literals, or the template of a `.format` call."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _static_text(node.left), _static_text(node.right)
        return None if left is None or right is None else left + right
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return _static_text(node.func.value) if node.func.attr in ("format", "strip") else None
    return None


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
