"""Adding a backend to the text of a config that somebody wrote."""

from collections.abc import Callable

import pytest

from imagen.domain.errors import Misconfigured
from imagen.settings.edit import add_to_config
from imagen.settings.model import Settings
from imagen.settings.sample import sample_config

Read = Callable[[str], Settings]
BLOCK = (
    "  new:                # The new one.",
    "    adapter: mock",
    "    # delay: 0         # Seconds.",
    "    steps: 4",
)

FILES = {
    "empty": "",
    "only a comment": "# mine\n",
    "no backends": "# mine\n\noutput: {dir: x} # here\n",
    "no line end": "output: {dir: x}",
    "an empty key": "backends:\noutput: {dir: x}\n",
    "an empty key at the end": "output: {dir: x}\nbackends:",
    "empty braces": "backends: {} # none yet\noutput: {dir: x}\n",
    "braces": "backends: {a: {adapter: mock}, b: {adapter: mock}} # two\n",
    "braces over lines": "backends: {\n  a: {adapter: mock},\n}\nstyles: {}\n",
    "a block": (
        "backends:\n  a:\n    adapter: mock\n    # delay: 1\n\n# styles\nstyles: {}\n"
    ),
    "deep": "backends:\n      a:\n            adapter: mock\noutput: {dir: x}\n",
    "comments": (
        "backends:          # These are\n"
        "                   # my backends.\n"
        "  # The first one.\n"
        "  a: {adapter: mock} # fine\n"
        "  # The end.\n"
    ),
    "an anchor": "backends:\n  a: &a\n    adapter: mock\n  b: *a\n",
    "a merge": "backends:\n  a: &a {adapter: mock}\n  b:\n    <<: *a\n    steps: 3\n",
    "windows": "output: {dir: x}\r\nbackends:\r\n  a:\r\n    adapter: mock\r\n",
    "a quoted key": '"backends":\n  "a": {adapter: mock}\n',
    "a start of a document": "---\nbackends:\n  a: {adapter: mock}\n",
    "umlauts": "# für Bär\nbackends: {bär: {adapter: mock}}\n",
}


@pytest.mark.parametrize("text", FILES.values(), ids=FILES)
def test_the_backend_is_added_and_every_line_stays(
    settings_of: Read, text: str
) -> None:
    before = settings_of(text)

    changed = add_to_config(
        text, block=BLOCK, default="", check=lambda new: bool(settings_of(new))
    )

    after = settings_of(changed)
    assert after.backends.keys() == {*before.backends, "new"}
    assert after.backends["new"].instance.steps == 4
    assert all(
        after.backends[name] == before.backends[name] for name in before.backends
    )
    assert (after.output, after.styles) == (before.output, before.styles)
    for line in text.splitlines():
        assert all(part in changed for part in line.split("{"))
    if "\r\n" in text:
        assert "\n" not in changed.replace("\r\n", "")


def test_the_sample_can_be_extended(settings_of: Read, adapters: object) -> None:
    text = sample_config(adapters)  # type: ignore[arg-type]

    changed = add_to_config(
        text, block=BLOCK, default="", check=lambda new: bool(settings_of(new))
    )

    lines, before = changed.splitlines(), text.splitlines()
    at = lines.index(BLOCK[0])
    assert lines[:at] + lines[at + len(BLOCK) :] == before
    assert (
        lines[at - 1].strip() == "# and that adapter's own keys."
        or "#" in lines[at - 1]
    )
    assert lines[at + len(BLOCK)].startswith("  mock:")


def test_a_default_is_set_below_the_comment_at_the_top(settings_of: Read) -> None:
    changed = add_to_config(
        "# mine\nbackends:\n  a: {adapter: mock}\n",
        block=BLOCK,
        default="default_backend: new",
        check=lambda new: settings_of(new).default_backend == "new",
    )

    assert changed.startswith("# mine\ndefault_backend: new\nbackends:\n  new:")


@pytest.mark.parametrize(
    "text", ["{backends: {a: {adapter: mock}}}", "a: &a {}\n", "backends: &x\n"]
)
def test_what_cannot_be_extended_is_left_to_the_user(
    settings_of: Read, text: str
) -> None:
    with pytest.raises(Misconfigured) as caught:
        add_to_config(text, block=BLOCK, default="", check=lambda _: False)

    assert "nothing was written" in caught.value.message
    assert "\n    adapter: mock\n" in caught.value.message
