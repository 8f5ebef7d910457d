"""The examples of scorers, valid and invalid, and what each says of itself."""

import ast
import sys
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).resolve().parents[3] / "examples" / "scorers"


class Example(NamedTuple):
    """A scorer in examples/scorers/.

    says: the first sentence of its file; fails: IDs of the checks that must fail, more may;
    program: it is run as a command, with the vocabulary as last argument.
    """

    file: Path
    says: str
    fails: tuple[str, ...]
    program: bool

    @property
    def name(self) -> str:
        return self.file.stem

    def agrees(self, failed: list[str]) -> bool:
        """Whether just so many checks failed: all of `fails`, and none of a valid one."""
        return set(self.fails) <= set(failed) and bool(self.fails) == bool(failed)

    def command(self, vocabulary: int) -> str:
        """How check_scorer is told of it."""
        if self.program:
            return f"{sys.executable} {self.file} {{inputs}} {{outputs}} {vocabulary}"
        return f"{self.file}:make"


def examples() -> list[Example]:
    """All of them, read and not run, by name."""
    found = []
    for file in sorted(FOLDER.glob("*.py")):
        tree = ast.parse(file.read_text())
        assigned = [node for node in tree.body if isinstance(node, ast.Assign)]
        values = {ast.unparse(node.targets[0]): node.value for node in assigned}
        if "FAILS" in values:
            functions = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
            says = ast.get_docstring(tree).split(". ")[0].split("\n")[0].rstrip(".")
            fails = ast.literal_eval(values["FAILS"])
            found.append(Example(file, says, fails, "make" not in functions))
    return found
