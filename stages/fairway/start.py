"""How a script starts and ends: in one line, whatever stops it. Imported first of all.

From then on until its `main` runs, Ctrl-C ends a script of stages/ in silence: importing torch
takes seconds, and would be ended by a traceback from somewhere within.
"""

import signal
import sys
from collections.abc import Callable
from pathlib import Path

from fairway.stage import DISK_FULL, EXIT_BAD_INPUT, StageError

EXIT_INTERRUPTED = 130


def _is_started() -> bool:
    """Whether the program that Python runs is a script of stages/."""
    script = getattr(sys.modules["__main__"], "__file__", None)
    return script is not None and Path(script).resolve().parent == Path(__file__).parents[1]


if _is_started() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def run(main: Callable[[], None]) -> None:
    """Run a stage's `main`; bad input, and what the system refuses (a full disk, a file that must
    not be read), become one line on stderr and exit 2; Ctrl-C becomes one and exit 130."""
    code = EXIT_BAD_INPUT
    try:
        if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        main()
    except StageError as error:
        message = str(error)
    except OSError as error:
        message = _in_one_line(error)
    except KeyboardInterrupt:
        message, code = "interrupted", EXIT_INTERRUPTED
    else:
        return
    message = " ".join(message.splitlines())
    print(f"{Path(sys.argv[0]).name}: error: {message}", file=sys.stderr)
    sys.exit(code)


def _in_one_line(error: OSError) -> str:
    if error.errno in DISK_FULL:
        return f"{error.filename or 'output'}: cannot write: {error.strerror}"
    reason = error.strerror or str(error) or type(error).__name__
    return f"{error.filename}: {reason}" if error.filename is not None else reason
