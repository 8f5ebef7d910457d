"""Make .venv from envs/requirements.txt when it is missing or stale; standard library only.

    python3 -E envs/prepare.py

A stamp inside .venv, written last, holds the hash of the requirements and of the interpreter,
so an interrupted installation is done again. A lock makes several callers wait for one.
"""

import fcntl
import hashlib
import signal
import subprocess
import sys
import venv
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "envs" / "requirements.txt"
VENV = ROOT / ".venv"
STAMP = VENV / "fairway-stamp"


def wanted_stamp() -> str:
    """Hash of what the environment is made from: the pins, this interpreter, the place."""
    digest = hashlib.sha256(REQUIREMENTS.read_bytes())
    digest.update(f"{sys.version_info[:2]} {VENV}".encode())
    return digest.hexdigest()


def is_fresh() -> bool:
    return STAMP.is_file() and STAMP.read_text() == wanted_stamp()


def create() -> None:
    """Make a new .venv with pip in it; exits with one line where this Python cannot."""
    if find_spec("ensurepip") is None:
        version = ".".join(map(str, sys.version_info[:2]))
        sys.exit(
            f"error: {sys.executable}: no module ensurepip, which puts pip into .venv; on Debian "
            f"and Ubuntu it is in a package: apt install python{version}-venv"
        )
    try:
        venv.create(VENV, with_pip=True, clear=True)
    except subprocess.CalledProcessError as error:
        sys.exit(f"error: {VENV}: ensurepip failed with exit {error.returncode}")


def build() -> None:
    """Create .venv from nothing if there is no usable one, and install the pins."""
    python = VENV / "bin" / "python"
    version = [python, "-E", "-c", "import sys; print(sys.version_info[:2], sys.prefix)"]
    usable = python.exists() and (
        subprocess.run(version, capture_output=True, text=True).stdout.strip()
        == f"{sys.version_info[:2]} {VENV}"
    )
    STAMP.unlink(missing_ok=True)
    stamp = wanted_stamp()  # of what is installed now, also if the file changes meanwhile
    print(f"installing envs/requirements.txt into {VENV} (once)", file=sys.stderr)
    if not usable:
        create()
    install = [python, "-E", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*install, "-r", REQUIREMENTS], check=True)
    STAMP.write_text(stamp)


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C without a traceback
    if is_fresh():
        return
    try:
        with (ROOT / ".venv.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not is_fresh():
                build()
    except subprocess.CalledProcessError as error:
        sys.exit(f"error: envs/requirements.txt: pip failed with exit {error.returncode}")
    except OSError as error:
        sys.exit(f"error: {error.filename}: {error.strerror}; .venv has to be made in {ROOT}")


if __name__ == "__main__":
    main()
