#!/bin/sh
# Run the format, lint, type, layer and start-up checks in parallel; print what failed.
set -u
bin=.venv/bin
log=$(mktemp -d)
trap 'rm -rf "$log"' EXIT

run() {
    name=$1
    shift
    { "$@" >"$log/$name" 2>&1 || touch "$log/$name.failed"; } &
}

# basedpyright takes longest, on one core: it starts first, and Node gets more room for
# short-lived objects, which saves a twentieth (its --threads 2 costs 40 % more CPU time).
run types-pyright env NODE_OPTIONS=--max-semi-space-size=64 "$bin/basedpyright"
run types-mypy "$bin/mypy"
run format "$bin/ruff" format --no-cache --check .
run lint "$bin/ruff" check --no-cache .
run layers "$bin/lint-imports" --no-cache
run start-up "$bin/python" -m pytest -q -p no:cacheprovider tests/unit/cli/test_startup.py
wait

failed=0
for mark in "$log"/*.failed; do
    [ -e "$mark" ] || continue
    failed=1
    name=$(basename "$mark" .failed)
    echo "== $name"
    cat "$log/$name"
done
[ "$failed" = 0 ] && echo "imagen: all checks pass"
exit "$failed"
