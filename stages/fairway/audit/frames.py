"""Messages between the audit and a process that runs other people's code: JSON and arrays.

Nothing is unpickled, so that what comes back is values and never code.
"""

import io
import json
from multiprocessing.connection import Connection
from typing import Any

import numpy as np


def send(connection: Connection, message: dict[str, Any], *arrays: np.ndarray) -> None:
    """Send a message and its arrays; ValueError for an array of objects."""
    parts = [json.dumps(message | {"arrays": len(arrays)}).encode()]
    for array in arrays:
        content = io.BytesIO()
        np.save(content, array, allow_pickle=False)
        parts.append(content.getvalue())
    for part in parts:
        connection.send_bytes(part)


def receive(connection: Connection) -> tuple[dict[str, Any], list[np.ndarray]]:
    """The next message; EOFError or OSError if the other side is gone."""
    message = json.loads(connection.recv_bytes())
    contents = [connection.recv_bytes() for _ in range(message.pop("arrays"))]
    return message, [np.load(io.BytesIO(content), allow_pickle=False) for content in contents]
