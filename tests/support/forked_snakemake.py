"""Snakemake's command line in forks of one process that has read its code and the checkout's.

A third of the processor time of a process of its own, most of which goes into that reading.
"""

import atexit
import json
import os
import subprocess
import sys
import tempfile
from functools import cache
from importlib import import_module
from pathlib import Path

STAGES = Path(__file__).resolve().parents[2] / "stages"


def forked_snakemake(arguments: list[str], checkout: Path) -> subprocess.CompletedProcess:
    """Run it to its end; output and errors together in stdout."""
    server = _server()
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "output"
        request = {"output": str(output), "checkout": str(checkout), "arguments": arguments}
        server.stdin.write(json.dumps(request) + "\n")
        server.stdin.flush()
        code = int(server.stdout.readline())
        return subprocess.CompletedProcess(arguments, code, output.read_text())


@cache
def _server() -> subprocess.Popen:
    """The process that forks, for as long as this one lives."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    server = subprocess.Popen([sys.executable, __file__], env=os.environ | {"PATH": path}, **pipes)
    atexit.register(server.communicate)  # it ends when nothing is left to read
    return server


def serve() -> None:
    """Answer each request, a line of JSON, with an exit code."""
    sys.path.insert(0, str(STAGES))
    from snakemake.cli import main

    from fairway.closure import code_sha256, imported_packages

    for name in ("smart_open", "snakemake.report", "fairway.workflow.plan"):
        import_module(name)  # what every fork would import

    for script in STAGES.glob("*.py"):
        code_sha256(script), imported_packages(script)
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if not child:
            become(Path(request["checkout"]), Path(request["output"]))
            main(request["arguments"])
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def become(checkout: Path, output: Path) -> None:
    """Write to this file, and know nothing of Fairway unless it is this checkout's."""
    with output.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    if checkout != STAGES.parent:
        sys.path.remove(str(STAGES))
        for name in [name for name in sys.modules if name.split(".")[0] == "fairway"]:
            del sys.modules[name]


if __name__ == "__main__":
    serve()
