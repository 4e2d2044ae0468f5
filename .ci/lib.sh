# Shared by the scripts of this folder: where the repository is, and how to install packages.
# shellcheck shell=bash

# ldconfig lives in /sbin, which a plain user may not have in PATH.
PATH="$PATH:/usr/sbin:/sbin"

repo="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
target="${CARGO_TARGET_DIR:-$repo/target}"

say() { printf '\n== %s\n' "$*"; }
fail() { printf 'error: %s\n' "$1" >&2; [ $# -lt 2 ] || printf 'hint: %s\n' "$2" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# python_with CODE: the first Python 3 in which CODE runs (a pyenv or conda python3 may hide the
# system's, which has the distribution's bindings); empty when there is none.
python_with() {
    local candidate
    for candidate in "${PYTHON:-}" python3 /usr/bin/python3; do
        if [ -n "$candidate" ] && "$candidate" -c "$1" >/dev/null 2>&1; then
            printf '%s' "$candidate"
            return
        fi
    done
}
gdal_python() { python_with 'import numpy; from osgeo import gdal'; }
qgis_python() { python_with 'import qgis.core'; }

# The browser of the tests: CHROMIUM, else the distribution's Chromium, else a Chrome.
find_chromium() {
    local candidate
    for candidate in "${CHROMIUM:-}" chromium chromium-browser google-chrome-stable google-chrome; do
        # Ubuntu's chromium-browser may be a stub that only says to install a snap.
        if [ -n "$candidate" ] && "$candidate" --version >/dev/null 2>&1; then
            type -P "$candidate"
            return
        fi
    done
    return 1
}

# Installs Debian or Ubuntu packages; says what, and uses sudo only when it must.
apt_install() {
    [ $# -gt 0 ] || return 0
    have apt-get || fail "missing on this machine: $*" \
        "these are Debian package names: install what your system calls them, then run this again"
    local as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        have sudo || fail "not root and no sudo: cannot install $*" "as root: apt-get install $*"
        as_root=(sudo)
    fi
    say "installing $*"
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq ||
        echo "apt-get update failed: trying with the lists that are there"
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}
