#!/bin/sh
# Create .venv with the given Python, or print in one sentence why this fails.
set -eu
python=$1

say() { echo "imagen: $*" >&2; }

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    say "Python 3.11 or later is required; choose one with: make PYTHON=python3.12 demo"
    exit 1
fi
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    # Debian ships venv as a separate package.
    package=$("$python" -c 'import sys; print("python3.%d-venv" % sys.version_info.minor)')
    if [ "$(id -u)" = 0 ] && [ -z "${IMAGEN_NO_APT:-}" ] && command -v apt-get >/dev/null; then
        say "installing the Debian package $package"
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -qq -y "$package" >/dev/null
    else
        say "$python has no venv; install it first: apt-get install $package"
        exit 1
    fi
fi
"$python" -m venv .venv
