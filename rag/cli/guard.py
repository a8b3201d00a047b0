"""What refuses and reports every attempt to reach the network, in a process and in those it starts.

``rag doctor`` copies this file as ``sitecustomize.py`` to the head of ``PYTHONPATH``: Python then runs it before
anything else. Each attempt is a line of JSON in the pipe beside it; a pipe, because the process that reads documents
may write no file. Connections within the machine by a Unix socket are none.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

PIPE_NAME = "attempts"
_EVENTS = frozenset(
    {
        "socket.connect",
        "socket.sendto",
        "socket.sendmsg",
        "socket.getaddrinfo",
        "socket.gethostbyname",
        "socket.gethostbyaddr",
    }
)


def install(pipe: Path) -> None:
    """Refuse, from now on and for good, what would leave this machine; report it in ``pipe``."""
    # Non-blocking: where nobody reads any more, the attempt is refused all the same.
    descriptor = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)

    def refuse(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in _EVENTS or getattr(arguments[0], "family", None) == getattr(socket, "AF_UNIX", -1):
            return
        target = arguments[1] if event.startswith(("socket.connect", "socket.send")) else arguments[0]
        line = json.dumps({"event": event, "target": str(target), "program": " ".join(sys.orig_argv[1:4])})
        try:
            os.write(descriptor, line.encode() + b"\n")
        finally:
            raise PermissionError(f"rag doctor lets nothing out: {event} {target}")

    sys.addaudithook(refuse)


if __name__ == "sitecustomize":
    install(Path(__file__).with_name(PIPE_NAME))
