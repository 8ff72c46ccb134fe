#!/bin/sh
# Installs Debian's packages that some tests need, where that may be done. Without them
# those tests are skipped by name.
set -eu

say() { echo "imagen: $*"; }

missing=
for pair in zsh:zsh fish:fish tmux:tmux; do
    command -v "${pair%%:*}" >/dev/null || missing="$missing ${pair#*:}"
done
if [ -z "$missing" ]; then
    exit 0
fi
if [ -n "${IMAGEN_NO_APT:-}" ]; then
    say "not installing$missing (IMAGEN_NO_APT is set); the tests that need them are skipped"
elif [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    say "the tests that need$missing are skipped; to run them, install these first"
else
    say "installing Debian's packages for the tests:$missing"
    # shellcheck disable=SC2086 # a list of names
    if ! { apt-get update -qq &&
        DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
            $missing >/dev/null; }; then
        say "that failed; the tests that need them are skipped"
    fi
fi
