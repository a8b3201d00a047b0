"""The peers' own virtual environment, so that they never touch the project's."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
_STAMP = "requirements.sha256"


def ensure(folder: Path) -> Path:
    """Make the environment if it is not there or its requirements changed, and return its Python.

    Raises:
        SystemExit: The torch that was installed is one for CUDA; the message has the remedy.
        subprocess.CalledProcessError: pip failed, with its own message on stderr.
    """
    python = folder / "bin/python"
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    stamp = folder / _STAMP
    if not (stamp.exists() and stamp.read_text("ascii") == wanted):
        print(f"making {folder} (minutes)", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*pip, "--requirement", str(REQUIREMENTS)], check=True)
        is_cpu = "import sys, torch; sys.exit(torch.version.cuda is not None)"
        if subprocess.run([str(python), "-c", is_cpu], check=False).returncode:
            raise SystemExit(
                f"error: pip chose a torch for CUDA. Install the CPU build of the torch named in {REQUIREMENTS} "
                f"with {python} -m pip, then run this again"
            )
        stamp.write_text(wanted, "ascii")
    return python
