"""What a machine has, and which packages are installed: plain facts for ``rag doctor``."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
from pathlib import Path
from typing import Any

# What numerical libraries choose their code by.
_FEATURES = ("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "asimd", "asimddp", "i8mm", "sve")


def packages() -> tuple[dict[str, str], list[str]]:
    """Return the version of Sanad and of each distribution it asks for, and the names of those that are missing."""
    try:
        wanted = importlib.metadata.requires("sanad") or []
    except importlib.metadata.PackageNotFoundError:
        return {}, ["sanad"]
    always = [re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in wanted if "extra ==" not in line]
    versions, missing = {}, []
    for name in ("sanad", *always):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    return versions, missing


def machine(index_dir: str) -> dict[str, Any]:
    """Return processor, cores, threads, memory and free disk; sizes in bytes, None where they cannot be told."""
    cpu = _colon_file("/proc/cpuinfo")
    memory = _colon_file("/proc/meminfo")
    flags = (cpu.get("flags") or cpu.get("Features") or "").split()
    folder = Path(index_dir).absolute()
    while not folder.exists():
        folder = folder.parent
    return {
        "system": platform.platform(),
        "cpu": cpu.get("model name") or platform.processor() or platform.machine(),
        "cpu_features": [name for name in _FEATURES if name in flags],
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": os.environ.get("OMP_NUM_THREADS"),
        "memory_bytes": _kib(memory.get("MemTotal")),
        "memory_available_bytes": _kib(memory.get("MemAvailable")),
        "disk_free_bytes": shutil.disk_usage(folder).free,
    }


def _colon_file(path: str) -> dict[str, str]:
    """Return the ``name: value`` lines of a file, the first of each name; empty where there is no such file."""
    try:
        lines = Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    found: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            found.setdefault(name.strip(), value.strip())
    return found


def _kib(text: str | None) -> int | None:
    return int(text.split()[0]) * 1024 if text else None
