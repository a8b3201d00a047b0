"""The file of users, and the commands that keep it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from people import MUNA, QUICK, SARA, write_users

from rag.cli import main
from rag.server.users import AuthFileError, Users, add_user, is_password, read_secret, read_users, remove_user

ROOT = Path(__file__).parent.parent
GOOD = "$argon2id$v=19$m=64,t=1,p=1$nxQnRwevs08sCVo9ybqPCg$1/kOafxGw2hmFSUSHIMFhQEGzTfE2rsA+Rzi6zAQ1cM"


def test_both_forms_of_the_file_are_read_alike(tmp_path):
    hashes = {name: QUICK.hash(password) for name, password in (SARA, MUNA)}
    lines, structure = tmp_path / "lines", tmp_path / "structure"
    text = "".join(f"  {name} : {hashed}\r\n" for name, hashed in hashes.items())
    lines.write_bytes(("\ufeff# who may read\r\n\r\n" + text).encode())
    structure.write_text(json.dumps(hashes), encoding="utf-8")
    assert read_users(lines) == read_users(structure) == hashes
    assert [*read_users(lines)] == ["sara", "منى"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (f"sara:{GOOD}\nmuna\n", "line 2: no argon2id hash"),
        ("sara:my own password", "line 1: no argon2id hash"),
        (f"sara:{GOOD.replace('argon2id', 'argon2i')}", "no argon2id hash"),
        (f"sara:{GOOD[:-30]}", "no argon2id hash"),
        (f"sara:{GOOD}:more", "no argon2id hash"),
        (f"sara:{GOOD}\n# and\n sara:{GOOD}", "line 3: the user 'sara' is there twice"),
        (f":{GOOD}", "line 1: the name '' cannot be used"),
        (f"{'x' * 65}:{GOOD}", "cannot be used"),
        (f"a\u202eb:{GOOD}", "cannot be used"),
        ('{"sara": 7}', "'sara': no argon2id hash"),
        ('{"sara": {"hash": "x"}}', "'sara': no argon2id hash"),
        (f'{{"sara": "{GOOD}", "sara": "{GOOD}"}}', "twice"),
        ('{"sara": ', "no valid JSON"),
        ('["sara"]', "line 1"),
        (b"\xff\xfe\x00", "not text in UTF-8"),
        ("", "has no users"),
        ("# nobody\n", "has no users"),
        ("{}", "has no users"),
    ],
)
def test_a_file_that_is_wrong_says_where_and_what_to_do(tmp_path, content, said):
    path = tmp_path / "users"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(AuthFileError, match=re.escape(said)) as caught:
        Users(path)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message
    assert "my own password" not in message and GOOD.rsplit("$")[-1] not in message
    assert re.search(r"rag user add|take one of the two out|take 1 to 64|mend it", message)


def test_a_missing_file_or_a_folder_says_so(tmp_path):
    with pytest.raises(AuthFileError, match="there is no file of users at .*; make it with: rag user add"):
        Users(tmp_path / "nothing")
    with pytest.raises(AuthFileError, match="cannot be read"):
        Users(tmp_path)


def test_users_are_added_changed_and_removed_and_the_rest_stays(tmp_path):
    path = tmp_path / "users"
    assert add_user(path, "sara", "first password") is True
    path.write_text("# the team\n" + path.read_text() + "\n# guests\n", encoding="utf-8")
    assert add_user(path, " منى ", "كلمة سرّ طويلة") is True
    assert add_user(path, "sara", "second password") is False
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [line.split(":")[0] for line in lines] == ["# the team", "sara", "", "# guests", "منى"]
    hashes = read_users(path)
    assert is_password(hashes["sara"], "second password") and not is_password(hashes["sara"], "first password")
    assert is_password(hashes["منى"], "كلمة سرّ طويلة")
    remove_user(path, "sara")
    assert [*read_users(path)] == ["منى"]
    with pytest.raises(ValueError, match="there is no user 'sara'"):
        remove_user(path, "sara")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_json_file_stays_json_and_a_link_stays_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    real, link = tmp_path / "real" / "users.json", tmp_path / "users.json"
    real.write_text(json.dumps({"muna": GOOD}), encoding="utf-8")
    real.chmod(0o644)
    link.symlink_to(real)
    add_user(link, "سارة", "long enough")
    assert link.is_symlink()
    assert [*json.loads(real.read_text(encoding="utf-8"))] == ["muna", "سارة"]
    assert stat.S_IMODE(real.stat().st_mode) == 0o600
    remove_user(link, "muna")
    assert [*json.loads(real.read_text(encoding="utf-8"))] == ["سارة"]


def test_a_new_file_has_the_form_its_name_says(tmp_path):
    for name, first in (("users.json", "{"), ("users", "sara:")):
        add_user(tmp_path / name, "sara", "long enough")
        assert (tmp_path / name).read_text(encoding="utf-8").startswith(first)
        assert [*read_users(tmp_path / name)] == ["sara"]


def test_of_users_added_at_once_none_is_lost(tmp_path):
    path = tmp_path / "users"
    names = [f"user{number}" for number in range(6)]
    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(lambda name: add_user(path, name, "long enough"), names))
    assert sorted(read_users(path)) == names


def test_a_file_that_is_no_file_of_users_is_not_touched(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("my notes\n", encoding="utf-8")
    with pytest.raises(AuthFileError, match="no argon2id hash"):
        add_user(path, "sara", "long enough")
    assert path.read_text(encoding="utf-8") == "my notes\n"
    with pytest.raises(AuthFileError, match="cannot be written"):
        add_user(tmp_path / "nowhere" / "users", "sara", "long enough")


@pytest.mark.parametrize("name", ["", " ", "a:b", "#a", "{a", "a\nb", "a\u200fb", "a\ud800", "x" * 65])
def test_names_that_cannot_be_kept_are_refused(tmp_path, name):
    with pytest.raises(ValueError, match="cannot be used"):
        add_user(tmp_path / "users", name, "long enough")
    assert not (tmp_path / "users").exists()


@pytest.mark.parametrize(
    ("password", "said"), [("", "8 to 1024"), ("x" * 7, "has 7"), ("x" * 1025, "1025"), ("x" * 9 + "\udc80", "UTF-8")]
)
def test_passwords_that_cannot_be_kept_are_refused_and_not_repeated(tmp_path, password, said):
    with pytest.raises(ValueError, match=said) as caught:
        add_user(tmp_path / "users", "sara", password)
    assert not password or password not in str(caught.value)


def test_one_password_typed_on_two_keyboards_is_one(tmp_path):
    path = tmp_path / "users"
    add_user(path, "Zoe\u0308", "cafe\u0301 cafe\u0301")
    users = Users(path)
    assert users.hash_of("Zo\u00eb") == users.hash_of(" Zoe\u0308 ") is not None
    assert is_password(users.hash_of("Zo\u00eb"), "caf\u00e9 caf\u00e9")


def test_a_running_server_sees_changes_and_survives_a_slip(tmp_path, caplog):
    now = [0.0]
    path = write_users(tmp_path / "users", SARA)
    users = Users(path, clock=lambda: now[0])
    write_users(path, SARA, MUNA)
    assert users.hash_of("منى") is None  # looked at most once a second
    now[0] = 1.5
    assert users.hash_of("منى")
    path.write_text("oops", encoding="utf-8")
    now[0] = 3
    assert users.hash_of("منى") and users.hash_of("sara")
    assert "stay as they were" in caplog.text
    path.write_text("# all gone\n", encoding="utf-8")
    now[0] = 5
    assert users.hash_of("sara") is None
    assert is_password(users.stand_in(3), SARA[1]) is False


def test_a_file_that_others_can_read_is_warned_of(tmp_path, caplog):
    path = write_users(tmp_path / "users", SARA)
    Users(path)
    assert not caplog.records
    path.chmod(0o644)
    Users(path)
    assert f"chmod 600 {path}" in caplog.text


def test_the_secret_beside_the_file_must_be_long_and_private(tmp_path):
    path = tmp_path / "users.secret"
    assert read_secret(tmp_path / "users") is None
    path.write_text("0" * 31)
    path.chmod(0o600)
    with pytest.raises(AuthFileError, match="fewer than 32"):
        read_secret(tmp_path / "users")
    path.write_text("0" * 32 + "\n")
    assert read_secret(tmp_path / "users") == b"0" * 32
    path.chmod(0o640)
    with pytest.raises(AuthFileError, match="chmod 600"):
        read_secret(tmp_path / "users")


# -- the terminal ---------------------------------------------------------------------------------------------


def rag(*args: str | Path, **options) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "rag", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, cwd=ROOT, check=False, **options)


def test_users_are_managed_from_a_pipe(tmp_path, capsys):
    path = tmp_path / "users"
    added = rag("user", "add", "سارة", "--auth-file", path, input="كلمة سرّ طويلة\n")
    assert (added.returncode, added.stderr) == (0, "")
    assert "سارة is now a user" in added.stdout
    assert is_password(read_users(path)["سارة"], "كلمة سرّ طويلة")
    assert main(["user", "list", "--auth-file", str(path)]) == 0
    assert capsys.readouterr().out == "سارة\n"
    assert main(["user", "remove", "سارة", "--auth-file", str(path)]) == 0
    assert "no user" in capsys.readouterr().out
    assert read_users(path) == {}
    assert main(["user", "remove", "سارة", "--auth-file", str(path)]) == 1
    assert main(["user", "list", "--auth-file", str(tmp_path / "no")]) == 1
    error = capsys.readouterr().err
    assert "error: there is no user 'سارة'" in error and "make it with: rag user add" in error
    short = rag("user", "add", "sara", "--auth-file", path, input="short\n")
    assert (short.returncode, short.stdout) == (1, "")
    assert short.stderr.startswith("error: a password has 8 to 1024 characters")
    assert rag("user", "add", "sara").returncode == 2


@pytest.mark.parametrize(
    ("typed", "status", "said"),
    [
        (["long enough", "long enough"], 0, "is now a user"),
        (["long enough", "long  enough"], 1, "not the same; nothing was changed"),
        (["\x04"], 1, "no password was given"),
    ],
)
def test_on_a_terminal_the_password_is_asked_for_twice_and_not_shown(tmp_path, typed, status, said):
    import pty

    path = tmp_path / "users"
    controller, terminal = pty.openpty()
    command = [sys.executable, "-m", "rag", "user", "add", "sara", "--auth-file", str(path)]
    process = subprocess.Popen(
        command, stdin=terminal, stdout=terminal, stderr=terminal, cwd=ROOT, start_new_session=True
    )
    os.close(terminal)
    shown = b""
    try:
        for prompt, line in zip((b"Password of sara: ", b"The same again: "), typed, strict=False):
            while not shown.endswith(prompt):
                shown += os.read(controller, 1000)
            os.write(controller, line.encode() if line == "\x04" else line.encode() + b"\n")
        with contextlib.suppress(OSError):  # the end of a terminal is an error
            while more := os.read(controller, 1000):
                shown += more
        assert process.wait(30) == status
    finally:
        os.close(controller)
        process.kill()
        process.wait()
    assert said in shown.decode()
    assert b"long" not in shown and b"Traceback" not in shown
    assert path.exists() == (status == 0)


def test_a_server_says_what_is_wrong_with_its_users_before_it_starts(tmp_path):
    done = rag("serve", "--port", "0", "--index-dir", tmp_path / "index", "--auth-file", tmp_path / "nobody")
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.strip().splitlines()
    assert line == (
        f"error: there is no file of users at {tmp_path}/nobody; "
        f"make it with: rag user add NAME --auth-file {tmp_path}/nobody"
    )


def test_an_open_server_without_a_login_is_warned_of(tmp_path, capsys):
    users = write_users(tmp_path / "users", SARA)
    with socket.socket() as other:
        other.bind(("0.0.0.0", 0))
        other.listen()
        port = other.getsockname()[1]
        for options, warned in (
            (["--host", "0.0.0.0"], True),
            (["--host", "127.0.0.1"], False),
            (["--host", "0.0.0.0", "--auth-file", str(users)], False),
        ):
            assert main(["serve", "--port", str(port), *options]) == 1
            lines = capsys.readouterr().err.strip().splitlines()
            assert f"error: port {port} is in use" in lines[-1]
            assert [line.startswith(f"warning: anyone who reaches port {port} can read") for line in lines[:-1]] == (
                [True] if warned else []
            )
