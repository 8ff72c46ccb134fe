#!/bin/sh
# Run the unit tests with each supported Python that is installed, python3.11 to 3.14.
set -u
failed=0

say() { echo "imagen: $*"; }

for version in 3.11 3.12 3.13 3.14; do
    python=python$version
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        say "skipped: $python is not installed, or has no venv"
        continue
    fi
    bin=.venv-$version/bin
    pip="$bin/python -m pip --quiet --disable-pip-version-check"
    if [ ! -e "$bin/tested" ] || [ pyproject.toml -nt "$bin/tested" ]; then
        say "installing into .venv-$version"
        "$python" -m venv ".venv-$version" &&
            $pip install --upgrade --constraint constraints.txt pip &&
            $pip install --constraint constraints.txt --editable '.[all]' --group dev &&
            touch "$bin/tested" || { failed=1; continue; }
    fi
    say "unit tests with $("$bin/python" --version)"
    "$bin/python" -m pytest -q -n auto tests/unit || failed=1
done
exit "$failed"
