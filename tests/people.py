"""Who may log in, in the tests: two users, and how their file is written."""

from __future__ import annotations

from pathlib import Path

from argon2 import PasswordHasher

QUICK = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)  # argon2id as ever, of little work
SARA, MUNA = ("sara", "seven blue kettles"), ("منى", "كلمة سرّ طويلة")


def write_users(path: Path, *people: tuple[str, str]) -> Path:
    path.write_text("".join(f"{name}:{QUICK.hash(password)}\n" for name, password in people), encoding="utf-8")
    path.chmod(0o600)
    return path
