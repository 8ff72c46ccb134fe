#!/bin/sh
# Makes .venv with the given Python, or says in one sentence why it cannot.
set -eu
python=$1

say() { echo "imagen: $*" >&2; }

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    say "Python 3.11 or later is needed; name one with: make PYTHON=python3.12 demo"
    exit 1
fi
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    # Debian keeps venv in a package of its own.
    package=$("$python" -c 'import sys; print("python3.%d-venv" % sys.version_info.minor)')
    if [ "$(id -u)" = 0 ] && [ -z "${IMAGEN_NO_APT:-}" ] && command -v apt-get >/dev/null; then
        say "installing Debian's package $package"
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -qq -y "$package" >/dev/null
    else
        say "$python has no venv; install it first: apt-get install $package"
        exit 1
    fi
fi
"$python" -m venv .venv
