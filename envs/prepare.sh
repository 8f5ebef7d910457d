#!/bin/sh
# Make .venv from envs/requirements.txt when it is missing or stale. Needs only Python >= 3.11.
set -eu
unset CDPATH BASH_ENV # cd would look there, and a python that is a bash script run it
cd -- "$(dirname -- "$0")/.."
for python in python3 python3.14 python3.13 python3.12 python3.11 python; do
    if "$python" -E -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        exec "$python" -E envs/prepare.py
    fi
done
echo "error: no Python >= 3.11 found on PATH (looked for python3, python3.11 to python3.14)" >&2
exit 2
