"""What ``install.sh`` of a bundle does: check every file, make an environment, install without network, try it."""

INSTALL_SCRIPT = """\
#!/bin/sh
# Installs Sanad from this folder without a network.   ./install.sh [ENVIRONMENT_FOLDER]
# Another Python:   PYTHON=/usr/bin/python@PYTHON@ ./install.sh
set -eu
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
python=${PYTHON:-python@PYTHON@}
environment=${1:-$here/venv}

fail() { echo "error: $*" >&2; exit 1; }
rag() { "$program" -m rag "$@"; }
quoted() { printf "'%s'" "$(printf %s "$1" | sed "s/'/'\\\\\\\\''/g")"; }

command -v "$python" >/dev/null || fail "there is no $python here; install Python @PYTHON@ or name it with PYTHON=..."
(cd "$here" && sha256sum --check --quiet SHA256SUMS) || fail "a file is damaged; copy the archive again"

if [ -n "$(ls "$here/wheels" 2>/dev/null)" ]; then
  version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  [ "$version" = "@PYTHON@" ] || fail "$python is Python $version; the wheels want @PYTHON@: PYTHON=... names it"
  [ -x "$environment/bin/python" ] || "$python" -m venv "$environment" ||
    fail "no environment could be made; Debian: apt install python@PYTHON@-venv"
  "$environment/bin/python" -m pip install --quiet --disable-pip-version-check --no-index \\
    --find-links "$here/wheels" sanad || fail "a wheel is missing, or is for another kind of machine than this one"
  program=$environment/bin/python
elif [ -x "$environment/bin/python" ] && "$environment/bin/python" -c 'import rag.retriever' 2>/dev/null; then
  program=$environment/bin/python
elif "$python" -c 'import rag.retriever' 2>/dev/null; then
  program=$python
else
  fail "this bundle has no wheels, and Sanad is not installed here; bundle again without --no-wheels"
fi

rag verify --index-dir "$here/index"
command="$(quoted "$program") -m rag"
index=$(quoted "$here/index")
echo "Installed. Ask:  $command ask --index-dir $index \\"QUESTION\\""
echo "Or chat on http://127.0.0.1:7860:  $command serve --index-dir $index --corpus-dir $(quoted "$here/corpus")"
"""
