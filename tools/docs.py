"""Generate the pages of docs/ that come from the code: `python -m tools.docs`."""

from pathlib import Path

import imagen.settings.validate  # noqa: F401 - defines InvalidConfig
from imagen.cli.exit_codes import (
    BROKEN_PIPE,
    DONE,
    FAILURE,
    INTERRUPTED,
    exit_code_for,
)
from imagen.domain.errors import ImagenError, SomeImagesFailed

DOCS = Path(__file__).parents[1] / "docs"
MEANINGS = {
    DONE: "done",
    FAILURE: "an internal error, or the journal or ledger cannot be read or written; "
    "also: something is not ready, still open, or different",
    2: "nothing was sent: wrong usage, config or request",
    3: "cost nothing for certain, and can be retried",
    4: "the backend refused the request or failed for good; with --strict also: the "
    "stored image is not as requested",
    5: "credentials missing or rejected, out of credit, over budget",
    6: "the image was made but not stored at its target; the message names its path",
    7: "accepted, or outcome unknown: may be billed; do not repeat the request",
    INTERRUPTED: "interrupted (129 by SIGHUP, 143 by SIGTERM)",
    BROKEN_PIPE: "the reader of stdout closed the pipe; remaining images are cancelled",
}


def exit_codes_page() -> str:
    """Return the page about exit codes and error codes."""
    kinds = [kind for kind in family(ImagenError) if kind is not SomeImagesFailed]
    lines = [
        "# Exit codes",
        "",
        "The exit codes of `imagen`. The meaning of a code never changes. With",
        '`--json` each failure is also an object on stdout, `{"error": {"code",',
        '"message", "hint"}}`, with one of the error codes below.',
        "",
        "Texts from servers, files, prompts and callers are printed with control",
        "characters escaped, such as `\\x1b`, and in JSON as `\\u001b`. A path in a",
        "pipe or a file is byte for byte.",
        "",
        "With several images it is the code of the first failure, after every",
        "generated image has been stored.",
        "",
        "| exit | meaning | error codes |",
        "| --- | --- | --- |",
    ]
    for exit_code, meaning in MEANINGS.items():
        codes = [
            f"`{k.code}`" for k in kinds[1:] if exit_code_for(k.__new__(k)) == exit_code
        ]
        if exit_code == FAILURE:
            codes.insert(0, "`internal_error`")
        lines.append(f"| {exit_code} | {meaning} | {', '.join(codes)} |")
    lines += [
        "",
        f"The first Ctrl-C cancels the job (at most 3 s, exit {INTERRUPTED}), the",
        "second exits at once; the same signal within half a second counts as one.",
        "",
        "## Error codes",
        "",
        "| code | class | when | retried automatically | may have cost |",
        "| --- | --- | --- | --- | --- |",
    ]
    for kind in kinds[1:]:
        when = (kind.__doc__ or "").splitlines()[0].rstrip(".")
        again, cost = ("yes" if each else "no" for each in _nature(kind))
        lines.append(
            f"| `{kind.code}` | `{kind.__name__}` | {when} | {again} | {cost} |"
        )
    return "\n".join(lines) + "\n"


def family(root: type[ImagenError]) -> list[type[ImagenError]]:
    """Return the error and its subclasses in imagen, without those of adapters."""
    subclasses = (
        k
        for k in root.__subclasses__()
        if k.__module__.startswith("imagen.")
        and not k.__module__.startswith("imagen.adapters.")
    )
    return [root, *(k for child in subclasses for k in family(child))]


def _nature(kind: type[ImagenError]) -> tuple[bool, bool]:
    return kind.retryable, kind.may_have_cost


def main() -> None:
    """Write the pages."""
    (DOCS / "exit-codes.md").write_text(exit_codes_page(), "utf-8")


if __name__ == "__main__":
    main()
