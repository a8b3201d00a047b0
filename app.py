"""Start the chat: ``python app.py``, then open http://127.0.0.1:7860. The same as ``rag serve``."""

from __future__ import annotations

import sys

from rag.cli import main

if __name__ == "__main__":
    sys.exit(main(["serve", *sys.argv[1:]]))
