"""Whatever is typed wrong: one clear sentence, exit 2, nothing written, nothing sent.

The long table runs in this process, for the sake of speed; what only a process has
(bytes for words, closed streams) is run as one.
"""

import json
from pathlib import Path

import pytest
from PIL import Image

from tests.e2e.conftest import (
    Ask,
    Imagen,
    Run,
    Shell,
    assert_one_sentence,
    left_behind,
)
from tests.nightly import some_by_day

BYTES = "\udcff\udcfe"  # how Python hands over words that are no UTF-8
GENERATE = ("generate", "a cat")
SMALL = ("--size", "32x32")
VALUED = (
    *("--backend", "--style", "--negative", "--size", "--count", "-n", "--seed"),
    *("--steps", "--model", "--set", "--timeout", "--output", "-o", "--fit"),
    "--config",
)


def assert_refused(run: Run, *fragments: str) -> None:
    assert (run.code, run.out) == (2, "")
    assert_one_sentence(run.err, *fragments)


WRONG: list[tuple[tuple[str, ...], str]] = [
    # Options that there are not, wherever they stand.
    (("generate", "--frob", "a cat"), "Unknown option: --frob."),
    (("generate", "--frob"), "Unknown option: --frob."),
    (("generate", "-x", "a cat"), "Unknown option: -x."),
    ((*GENERATE, "-x"), "Unknown option: -x."),
    (("generate", "--siz", "3", "a cat"), "Did you mean --size?"),
    ((*GENERATE, "--jsn"), "Unknown option: --jsn. Did you mean --json?"),
    ((*GENERATE, "--JSN"), "Unknown option: --JSN. Did you mean --json?"),
    ((*GENERATE, "--no-json"), "Unknown option: --no-json."),
    ((*GENERATE, "--no-strict"), "Unknown option: --no-strict."),
    ((*GENERATE, "--no-quiet"), "Unknown option: --no-quiet."),
    ((*GENERATE, "--no-no-sidecar"), "Did you mean --no-sidecar?"),
    ((*GENERATE, "--empty-set"), "Unknown option: --empty-set."),
    ((*GENERATE, f"--{BYTES}"), "Unknown option: --"),
    ((*GENERATE, "--seed", "1", "--frob=3"), "Unknown option: --frob."),
    (("--frob",), "Unknown option: --frob."),
    (("-v", *GENERATE), "The options of a command come after it."),
    (("backends", "--config", "x"), "Unknown option: --config."),
    (("backends", "list", "--frob"), "Unknown option: --frob."),
    (("backends", "check", "--frob", "mock"), "Unknown option: --frob."),
    (("backends", "check", "-x"), "Unknown option: -x."),
    (("config", "init", "--frob"), "Unknown option: --frob."),
    ((*GENERATE, "--width", "512"), "Unknown option: --width. Use --size WxH."),
    ((*GENERATE, "--height=512"), "Unknown option: --height. Use --size WxH."),
    ((*GENERATE, "--negative-prompt", "x"), "Use --negative TEXT."),
    (("config", "path", "--frob"), "Unknown option: --frob."),
    (("config", "validate", "--frob"), "Unknown option: --frob."),
    (("version", "--frob"), "Unknown option: --frob."),
    (("--install-completion", "--frob"), "Unknown option: --frob."),
    # Commands that there are not.
    (("generat", "a cat"), 'Did you mean "generate"?'),
    (("fish",), 'Did you mean: imagen generate "fish"?'),
    (("a cat",), 'Unknown command "a cat". Did you mean: imagen generate "a cat"?'),
    (
        ("a", "cat", "-o", "a b.png"),
        "Did you mean: imagen generate \"a cat\" -o 'a b.png'?",
    ),
    (('a "big" cat',), "Did you mean: imagen generate 'a \"big\" cat'?"),
    (("",), 'Unknown command "". Available commands: '),
    (("help", "fish"), 'Unknown command "fish". Available commands: '),
    (("backends", "frob"), "Available commands: list, check."),
    (("config", "frob"), "Available commands: init, validate, migrations, path."),
    # What is missing, what is too much, what is there twice.
    (("generate",), "PROMPT is missing."),
    (("generate", "help"), "For a prompt of this word: `imagen generate -- help`."),
    (("sweep", "--seed", "1,2", "jobs"), "`imagen jobs` is a command, and"),
    *(((*GENERATE, flag), f"{flag} needs a value.") for flag in VALUED),
    *(
        ((*GENERATE, flag, "--strict"), f"{flag} needs a ")
        for flag in VALUED
        if flag not in {"--output", "-o"}
    ),
    ((*GENERATE, "-o", "--strict"), "--strict looks like an option."),
    (
        (*GENERATE, "--negative", "-x"),
        "Write --negative=-x for a value that begins with -.",
    ),
    (("config", "path", "--config"), "--config needs a value."),
    (("config", "validate", "--config"), "--config needs a value."),
    (("backends", "list", "--config"), "--config needs a value."),
    (("backends", "check", "--config"), "--config needs a value."),
    (("--install-completion", "--shell"), "--shell needs a value."),
    ((*GENERATE, "--strict=banana"), "--strict takes no value."),
    ((*GENERATE, "--strict="), "--strict takes no value."),
    ((*GENERATE, "--size", "64x64", "--size", "32x32"), "--size is given twice."),
    ((*GENERATE, "-n", "1", "--count", "2"), "--count is given twice."),
    ((*GENERATE, "-o", "a.png", "--output", "b.png"), "--output is given twice."),
    ((*GENERATE, "-q", "-q"), "-q is given twice."),
    (
        ("generate", "a", "cat"),
        "Unexpected argument: 'cat'. Put the prompt in quotes.",
    ),
    (
        ("generate", "a", "cat", "in", "a", "bowl"),
        "Unexpected arguments: 'cat in a bowl'.",
    ),
    (("generate", "a", BYTES), "Unexpected argument: "),
    ((*GENERATE, "--", "--strict"), "Unexpected argument: '--strict'."),
    (("backends", "list", "x"), "Unexpected argument: 'x'. See"),
    (("config", "init", "x"), "Unexpected argument: 'x'. See"),
    (("config", "validate", "x.yaml"), "Unexpected argument: 'x.yaml'. See"),
    (("config", "path", "x"), "Unexpected argument: 'x'. See"),
    (("version", "x"), "Unexpected argument: 'x'. See"),
    (("--install-completion", "x", "y"), "Unexpected arguments: 'x y'. See"),
    # Prompts.
    (("generate", ""), "The prompt is empty."),
    (("generate", " \n\t"), "The prompt is empty."),
    (("generate", "\u3000"), "The prompt is empty."),
    (("generate", "-"), "The prompt is empty."),
    (("generate", "-5"), "Unknown option: -5."),
    (("generate", "-a cat"), "The prompt begins with -"),
    (("generate", "- a cat\n- a dog\n- a fox"), "The prompt begins with -"),
    (
        ("generate", "--", "--frob"),
        "Pass a prompt that begins with - on standard input.",
    ),
    (("generate", BYTES), "The prompt is not valid UTF-8 text."),
    ((*GENERATE, "--negative", BYTES), "The negative is not valid UTF-8 text."),
    # --count
    *(
        ((*GENERATE, "--count", count), "Use 1 to 1000.")
        for count in ("0", "-1", "1001", f"{10**30}")
    ),
    *(
        ((*GENERATE, "--count", count), "is not a whole number.")
        for count in ("1.5", "1e3", "x", "", " 3", "0x1", "1_000", "\uff11", BYTES)
    ),
    ((*GENERATE, "--count", "9" * 5000), "a number of 5000 digits is too large."),
    # --size
    *(
        ((*GENERATE, "--size", size), "must be 16 to 16384.")
        for size in ("0x0", "15x100", "100x15", "16385x16", "16x999999")
    ),
    *(
        ((*GENERATE, "--size", size), "Use WIDTHxHEIGHT, such as 1536x768.")
        for size in (
            *("1024", "1024*1024", "axb", "", " ", "1024x", "x1024", "64x64x64"),
            *("1e2x1e2", "64.0x64", "64 x 64", "9999999x64", "64\u00d764"),
            *("\uff16\uff14x\uff16\uff14", "\u0661\u0666x\u0661\u0666", BYTES),
        )
    ),
    # --seed and --steps
    *(
        ((*GENERATE, "--seed", seed), "Use 1 to 2^64-1, or 0 for a random seed.")
        for seed in ("-1", f"{2**64}", "9" * 90)
    ),
    *(
        ((*GENERATE, flag, word), "is not a whole number.")
        for flag in ("--seed", "--steps")
        for word in ("x", "", "1.0", "1e3", "nan", "\u0663")
    ),
    *(
        ((*GENERATE, flag, "9" * 5000), "is too large.")
        for flag in ("--seed", "--steps")
    ),
    ((*GENERATE, "--steps", "-1"), "The number of steps (-1) is out of range."),
    # --timeout
    *(
        ((*GENERATE, "--timeout", word), "Use a number of seconds above 0.")
        for word in ("0", "-1", "0.0", "1e400", "1e-400")
    ),
    *(
        ((*GENERATE, "--timeout", word), "is not a number.")
        for word in ("x", "", "nan", "inf", "-inf", "1_0", " 5", "5s", "\uff15")
    ),
    # --set
    *(
        ((*GENERATE, "--set", word), "is not KEY=VALUE.")
        for word in ("novalue", "=x", "", " =1", "\x1b[31m\n")
    ),
    (
        (*GENERATE, "--set", "frob=1"),
        "mock has no parameter 'frob'. Its parameters: delay,",
    ),
    ((*GENERATE, "--set", "dely=1"), "Did you mean delay?"),
    ((*GENERATE, "--set", "adapter=replicate"), "no parameter 'adapter'"),
    *(
        ((*GENERATE, "--set", word), "delay")
        for word in ("delay=x", "delay=-1", "delay=", "delay=true", "delay=.nan")
    ),
    ((*GENERATE, "--set", "fail=frob"), "fail"),
    *(
        ((*GENERATE, "--set", word), "The value is not valid YAML: ")
        for word in (
            *("a=[1", "a={", "a='", 'a="\\q"', "a=[*b]", "a=!!python/object:os.x y"),
            *("a=" + "[" * 5000, "a=" + "9" * 5000, f"a={BYTES}", "a=\x07"),
        )
    ),
    ((*GENERATE, "--set", f"{BYTES}=1"), "is not a valid parameter name."),
    ((*GENERATE, "--set", "delay=1", "--set", "delay=2"), "delay is given twice."),
    # What is chosen by name; those there are, are said.
    *(
        ((*GENERATE, "--fit", word), '"crop", "pad", "resize"')
        for word in ("x", "", "CROP", BYTES)
    ),
    *(
        ((*GENERATE, "--backend", word), "Configured backends: mock.")
        for word in ("x", "", "MOCK", " mock", BYTES)
    ),
    (("backends", "check", "mock", "x"), "Configured backends: mock."),
    (("backends", "check", ""), "Configured backends: mock."),
    (("backends", "check", BYTES), "Configured backends: mock."),
    *(
        (
            (*GENERATE, "--style", word),
            "Available styles: blog-header, photo, line-art",
        )
        for word in ("x", "", "Photo", BYTES)
    ),
    ((*GENERATE, "--model", "x"), "mock has no model 'x'. Use mock."),
    ((*GENERATE, "--model", " "), "The model name is empty."),
    ((*GENERATE, "--model", BYTES), "The model is not valid UTF-8 text."),
    (("--install-completion", "--shell", "tcsh"), '"bash", "zsh", "fish"'),
    (("--install-completion", "--shell", ""), '"bash", "zsh", "fish"'),
    # --output
    *(
        ((*GENERATE, "-o", word), "Use .png, .jpg, .jpeg or .webp")
        for word in ("x", "x.gif", "x.frob", ".png", "x/.png", "x.png ", "x.", BYTES)
    ),
    ((*GENERATE, "-o", ""), "The output path is empty."),
    ((*GENERATE, "-o", "x\0.png"), "contains a NUL character."),
    ((*GENERATE, "-o", "-x.png"), "Write ./-x.png for a file of that name."),
    ((*GENERATE, "--output=-\x1b[31m\n"), "looks like an option."),
    ((*GENERATE, "-o", "-", "-n", "2"), "Write one image, or give a folder."),
    ((*GENERATE, "-o", "a" * 248 + ".png"), "is too long."),
    ((*GENERATE, "-o", "a" * 246 + ".png", "-n", "3"), "is too long."),
    # --config
    ((*GENERATE, "--config", "no.yaml"), "The config file no.yaml does not exist."),
    ((*GENERATE, "--config", ""), "The path of the config file is empty."),
    ((*GENERATE, "--config", "/"), "The config file / is a folder."),
    ((*GENERATE, "--config", "/proc/self/mem"), "cannot be read: "),
    ((*GENERATE, "--config", "~nobody-at-all/x"), "The home folder of"),
    ((*GENERATE, "--config", "x\0"), "is not a valid path."),
    ((*GENERATE, "--config", "a" * 300), "cannot be read: "),
    ((*GENERATE, "--config", BYTES), "The config file "),
    (
        ("backends", "list", "--config", "no.yaml"),
        "The config file no.yaml does not exist.",
    ),
    (
        ("backends", "check", "--config", "no.yaml"),
        "The config file no.yaml does not exist.",
    ),
    (
        ("config", "validate", "--config", "no.yaml"),
        "The config file no.yaml does not exist.",
    ),
    (("config", "path", "--config", ""), "The path of the config file is empty."),
]

ALL = [
    *WRONG,
    ((*GENERATE, "-o", "a" * 300 + ".png"), "is too long."),
    ((*GENERATE, "-o", "~nobody-at-all/x.png"), "The home folder of"),
]


def name_of(value: object) -> str | None:
    return ascii(" ".join(value))[1:60] if isinstance(value, tuple) else ""


@pytest.mark.parametrize(("words", "fragment"), some_by_day(ALL, 110), ids=name_of)
def test_wrong_words_are_one_sentence_and_leave_nothing(
    ask: Ask, here: Path, home: Path, words: tuple[str, ...], fragment: str
) -> None:
    run = ask(*words)

    assert_refused(run, fragment)
    assert left_behind(here) + left_behind(home) == []


@pytest.mark.parametrize(
    "words",
    some_by_day([words for words, _ in WRONG if words[0] == "generate"], 40),
    ids=name_of,
)
def test_with_json_the_same_mistakes_are_one_object_as_well(
    ask: Ask, here: Path, home: Path, words: tuple[str, ...]
) -> None:
    run = ask("generate", "--json", *words[1:])

    assert run.code == 2
    (answer,) = run.objects
    assert answer["error"].keys() == {"code", "message", "hint"}
    assert answer["error"]["code"] in {
        *("usage", "invalid_request", "unsupported", "misconfigured", "invalid_config")
    }
    assert answer["error"]["message"].endswith((".", "?"))
    assert_one_sentence(run.err)
    assert left_behind(here) + left_behind(home) == []


@pytest.mark.parametrize(
    "words",
    [
        (*GENERATE, "--json=true", "--size", "x"),
        (*GENERATE, "--json=banana"),
        (*GENERATE, "--json", "--json"),
        ("backends", "list", "--json", "--config", "no.yaml"),
        ("backends", "check", "--json", "x"),
        ("config", "init", "--json", "--frob"),
        ("--json", "generate", "a cat"),
    ],
    ids=name_of,
)
def test_json_is_answered_however_it_was_asked_for(
    ask: Ask, words: tuple[str, ...]
) -> None:
    run = ask(*words)

    assert run.code == 2
    (answer,) = run.objects
    assert list(answer) == ["error"]
    assert_one_sentence(run.err)


def test_a_flag_that_is_said_to_be_off_is_off(ask: Ask) -> None:
    run = ask(*GENERATE, "--json=false", "--size", "x")

    assert_refused(run, "Invalid size 'x'.")


def test_nothing_typed_can_colour_the_terminal_or_move_its_cursor(ask: Ask) -> None:
    for word in ("--\x1b[31m", "--config=\x1b[31m", "--fit=\x1b]0;x\x07", "\x9b31m"):
        run = ask(*GENERATE, word)

        assert run.code == 2
        assert not {"\x1b", "\x07", "\x9b"} & set(run.err)


def test_standard_input_that_is_no_text_is_no_prompt(ask: Ask) -> None:
    assert_refused(ask("generate", "-", stdin=b"\xff\xfe"), "is not UTF-8 text.")
    for encoding in ("utf-16", "utf-16-le", "utf-16-be"):
        wide = ask("generate", "-", stdin="a cat\r\n".encode(encoding))
        assert_refused(wide, "standard input is UTF-16", "iconv -f UTF-16")
    assert_refused(ask("generate", "-", stdin=b"a\0cat"), "a NUL character.")
    assert_refused(ask("generate", "-", stdin=b"\n \n"), "The prompt is empty.")


@pytest.mark.parametrize(
    ("content", "fragment"),
    [
        (b"\x89PNG\r\n\x1a\n\0\0", "c.yaml:1: the file is not UTF-8 text"),
        (b"\0", "c.yaml:1: "),
        (b"backends: [1\nx: 2", "c.yaml:2: "),
        (b"just text", "c.yaml:1: "),
        (b"- a\n- b", "c.yaml:1: "),
        (b"a: 1\na: 2", "c.yaml:2: "),
        (b"frob: 1", "c.yaml:1: frob: "),
        (b"default_backend: x", "c.yaml:1: default_backend: "),
        (b"backends:\n  m: {adapter: frob}", "c.yaml:2: backends.m.adapter: "),
        (b"output: {naming: '../x'}", "c.yaml:1: output.naming: "),
        (b"styles: {a: {size: 3}}", "c.yaml:1: styles.a.size: "),
    ],
)
def test_a_broken_config_is_said_with_its_file_and_line(
    ask: Ask, here: Path, content: bytes, fragment: str
) -> None:
    (here / "c.yaml").write_bytes(content)

    run = ask(*GENERATE, "--config", "c.yaml")

    assert (run.code, run.out) == (2, "")
    assert all(line.startswith("imagen: c.yaml:") for line in run.err.splitlines())
    assert fragment in run.err
    assert left_behind(here) == ["c.yaml"]


def test_every_error_of_a_config_is_said_at_once(ask: Ask, here: Path) -> None:
    (here / "c.yaml").write_text(
        "backends:\n"
        "  mock:\n"
        "    adapter: mock\n"
        "    delay: soon\n"
        "    fial: none\n"
        "output:\n"
        "  sidecar: 3\n"
    )

    run = ask("config", "validate", "--config", "c.yaml")

    assert (run.code, run.out) == (2, "")
    lines = [line.removeprefix("imagen: c.yaml:") for line in run.err.splitlines()]
    assert [line.split(" ")[:2] for line in lines] == [
        ["4:", "backends.mock.delay:"],
        ["5:", "backends.mock.fial:"],
        ["7:", "output.sidecar:"],
    ]


@pytest.mark.parametrize(
    "line",
    [
        "api_token: {}",
        "{}: 1",
        "base_url: https://me:{}@example.com",
        "headers: {{Authorization: Bearer {}}}",
        "api_token_env: {}",
        "delay: {}",
        "adapter: {}",
    ],
)
def test_a_token_in_the_config_is_never_printed(
    ask: Ask, here: Path, line: str
) -> None:
    token = "r8_" + "Zz9" * 12  # made up
    block = line.format(token)
    (here / "c.yaml").write_text(f"backends:\n  m:\n    {block}\n")

    runs = [
        ask("config", "validate", "--config", "c.yaml"),
        ask(*GENERATE, "--backend", "m", "--config", "c.yaml", "--json", "--verbose"),
    ]

    for run in runs:
        assert run.code == 2
        assert "c.yaml:3: " in run.err
        assert "Zz9" not in run.out + run.err


# What only a process has.


@pytest.mark.parametrize(
    "words",
    [
        (b"\xff",),
        (b"a cat", b"--negative", b"\xff"),
        (b"a cat", b"--model=\xff"),
        (b"a cat", b"--set", b"fail=\xff"),
        (b"a cat", b"--style", b"\xff", b"--json"),
        (b"a cat", b"--backend", b"\xff"),
        (b"a cat", b"-o", b"\xff.gif", b"--json"),
    ],
)
def test_words_that_are_no_utf_8_are_refused(
    ask: Ask, here: Path, home: Path, words: tuple[bytes, ...]
) -> None:
    run = ask("generate", *words)

    assert run.code == 2
    assert_one_sentence(run.err)
    assert bool(run.out) is (b"--json" in words)
    assert left_behind(here) + left_behind(home) == []


def test_a_file_whose_name_is_no_utf_8_is_written_and_said(
    imagen: Imagen, here: Path
) -> None:
    run = imagen("generate", "a cat", *SMALL, "-o", b"\xff.png")

    assert (run.code, run.bytes) == (0, b"\xff.png\n")
    assert left_behind(here) == ["\udcff.png", "\udcff.png.json"]


@pytest.mark.parametrize(
    ("words", "hole", "code"),
    [
        (("generate", "-"), "<&-", 2),
        (("generate", "a cat", *SMALL), ">&-", 0),
        (("generate", "a cat", *SMALL), "2>&-", 0),
        (("generate", "a cat", "--size", "x"), ">&- 2>&-", 2),
        (("generate", "a cat", "--size", "x", "--json"), ">/dev/full", 2),
        (("generate", "a cat", *SMALL), ">/dev/full", 1),
        (("--version",), ">/dev/full", 1),
        (("--version",), ">&-", 0),
        pytest.param(("config", "init"), ">/dev/full", 1, marks=pytest.mark.nightly),
        (("generate", "a cat", "--size", "x"), "2>/dev/full", 2),
    ],
)
def test_streams_that_are_closed_or_full_are_no_fault_of_ours(
    sh: Shell, words: tuple[str, ...], hole: str, code: int
) -> None:
    if "/dev/full" in hole and not Path("/dev/full").exists():
        pytest.skip("needs /dev/full, which only Linux has")

    run = sh(f'"$0" "$@" {hole}', *words)

    assert run.code == code
    if run.err:
        assert_one_sentence(run.err)
    assert "internal error" not in run.err


def test_a_folder_that_is_gone_is_no_fault_of_ours(sh: Shell) -> None:
    run = sh('rmdir "$PWD"; exec "$0" generate "a cat" --size 32x32')

    assert run.code == 6
    assert_one_sentence(run.err, "The image is safe at ")


# What is extreme, and right.


@pytest.mark.parametrize(
    "prompt",
    [
        "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f3f3\ufe0f\u200d\U0001f308",
        "\u05d7\u05ea\u05d5\u05dc \u0642\u0637\u0629 \u202eevil\u202c",
        "a cat\nin a bowl\r\n\tof glass\n",
        "Z\u0351\u036b\u0343\u036a" * 50,
        "'; rm -rf / --no-preserve-root; $(reboot) `reboot` %s {seed} ../../x",
        "\x07\x1b[31m",
        "{prompt}",
    ],
)
def test_any_text_is_a_prompt(ask: Ask, here: Path, prompt: str) -> None:
    run = ask("generate", prompt, *SMALL, "--json", "--style", "line-art")

    assert (run.code, run.err) == (0, "")
    (note,) = run.objects
    assert note["prompt"] == prompt
    assert prompt in note["prompt_sent"]
    assert left_behind(here) == [note["path"], note["path"] + ".json"]


def test_a_prompt_may_have_a_hundred_thousand_characters(ask: Ask) -> None:
    prompt = "ein Bär, " * 11_112

    run = ask("generate", "-", *SMALL, "--json", stdin=prompt.encode())

    assert run.code == 0
    assert run.objects[0]["prompt"] == prompt


@pytest.mark.parametrize(
    ("words", "key", "value"),
    [
        (("--seed", f"{2**64 - 1}"), "seed", 2**64 - 1),
        (("--seed", "+007"), "seed", 7),
        (("--steps", "1000000"), "steps", 1_000_000),
        (("--size", "16x16"), "width", 16),
        pytest.param(("--size", "16384x16"), "width", 16384, marks=pytest.mark.nightly),
        (("--size", " 64X32 "), "requested_size", "64x32"),
        (("--negative=-x",), "negative", "-x"),
        (("--negative", ""), "negative", ""),
        (("--timeout", "1e9"), "steps", 20),
        (("--set", "delay=0x0", "--set", "fail='none'"), "steps", 20),
        (("-qn1", "--json=false", "--strict=yes"), None, None),
    ],
    ids=name_of,
)
def test_extreme_values_that_make_sense_work(
    ask: Ask, words: tuple[str, ...], key: str | None, value: object
) -> None:
    size = () if "--size" in words else SMALL
    run = ask(*GENERATE, *size, *words, *(("--json",) if key else ()))

    assert (run.code, run.err) == (0, "")
    assert key is None or run.objects[0][key] == value


@pytest.mark.parametrize(
    "output",
    ["link/x.png", "link", "deep/er/x.png", "./-x.png", "dangling.png", "a b\n.png"],
)
def test_an_output_may_be_behind_links_or_oddly_named(
    ask: Ask, here: Path, output: str
) -> None:
    (here / "real").mkdir()
    (here / "link").symlink_to("real")
    (here / "dangling.png").symlink_to("nowhere.png")

    run = ask(*GENERATE, *SMALL, "-o", output, "--json")

    assert run.code == 0
    with Image.open(here / run.objects[0]["path"]) as picture:
        assert picture.size == (32, 32)
    assert json.loads((here / (run.objects[0]["path"] + ".json")).read_text("utf-8"))
    assert (here / "link").is_symlink()


def test_a_flag_and_its_value_may_stand_anywhere(ask: Ask, here: Path) -> None:
    run = ask("generate", "--set", "delay=0", "-n=2", "a cat", "-qox.png", *SMALL)

    assert run.lines == ["x-1.png", "x-2.png"]
    assert len(left_behind(here)) == 4
