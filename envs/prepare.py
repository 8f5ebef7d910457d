"""Make .venv from envs/requirements.txt when it is missing or stale; standard library only.

    python3 envs/prepare.py

A stamp inside .venv, written last, holds the hash of the requirements and of the interpreter,
so an interrupted installation is done again. A lock makes several callers wait for one.
"""

import fcntl
import hashlib
import subprocess
import sys
import venv
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


def build() -> None:
    """Create .venv from nothing if there is no usable one, and install the pins."""
    python = VENV / "bin" / "python"
    version = "import sys; print(sys.version_info[:2], sys.prefix)"
    usable = python.exists() and (
        subprocess.run([python, "-c", version], capture_output=True, text=True).stdout.strip()
        == f"{sys.version_info[:2]} {VENV}"
    )
    STAMP.unlink(missing_ok=True)
    print(f"installing envs/requirements.txt into {VENV} (once)", file=sys.stderr)
    if not usable:
        venv.create(VENV, with_pip=True, clear=True)
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*install, "-r", REQUIREMENTS], check=True)
    STAMP.write_text(wanted_stamp())


def main() -> None:
    if is_fresh():
        return
    with (ROOT / ".venv.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_fresh():
            try:
                build()
            except subprocess.CalledProcessError as error:
                sys.exit(f"error: envs/requirements.txt: pip failed with exit {error.returncode}")


if __name__ == "__main__":
    main()
