"""The commands `imagen history` and `imagen history forget`."""

import re
import textwrap
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from rich.cells import cell_len

from imagen.domain.history import HistoryEntry
from imagen.testing.samples import MONDAY, sample_id
from tests.contract_internal.samples import sample_entry
from tests.e2e.accounts import Accounts
from tests.e2e.conftest import IMAGEN, Ask, Shell, assert_one_sentence
from tests.e2e.test_terminal import Screen, screen

__all__ = ["screen"]  # a fixture


@pytest.fixture
def accounts(home: Path) -> Accounts:
    return Accounts(home / "data")


@pytest.fixture
def history(ask: Ask, accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> Ask:
    monkeypatch.setenv("IMAGEN_DATA_DIR", str(accounts.folder))
    return lambda *words: ask("history", *words)


def entry(number: int = 1, **facts: object) -> HistoryEntry:
    """Return an image of which this is known."""
    found = sample_entry(number)
    note = msgspec.structs.replace(found.sidecar, **facts)
    return HistoryEntry(location=f"/pictures/{number}.png", sidecar=note)


def test_what_was_made_is_listed_the_newest_first(
    ask: Ask, accounts: Accounts, here: Path
) -> None:
    words = ("--size", "32x32", "--seed", "7", "-o")
    for name in ("one.png", "two.png"):
        ask("generate", f"a cat in {name}", *words, name, env=accounts.env)

    run = ask("history", env={**accounts.env, "TZ": "UTC"})

    assert (run.code, run.err) == (0, "")
    assert [re.split(" {2,}", line.strip())[2:] for line in run.lines] == [
        ["mock", "7", "32x32", "$0.00", str(here / "two.png"), "a cat in two.png"],
        ["mock", "7", "32x32", "$0.00", str(here / "one.png"), "a cat in one.png"],
    ]


def test_times_are_local_and_what_is_unknown_is_not_nothing(
    ask: Ask, accounts: Accounts
) -> None:
    accounts.make(entry(1, seed=None, cost_usd=None), entry(2, cost_usd=1e-06))

    run = ask("history", env={**accounts.env, "TZ": "Asia/Tokyo"})

    newest, oldest = (re.split(" {2,}", line.strip()) for line in run.lines)
    assert newest[:2] == ["2026-11-16 18:32", sample_id(2)[:13]]
    assert newest[5] == "$0.000001"
    assert oldest[3:6] == ["-", "1536x768", "unknown"]


def test_in_json_it_is_the_sidecar_and_the_path(
    ask: Ask, accounts: Accounts, here: Path
) -> None:
    words = ("a cat", "--size", "32x32", "-o", "x.png", "--json")
    made = ask("generate", *words, env=accounts.env)

    run = ask("history", "--json", env=accounts.env)

    assert (run.code, run.err) == (0, "")
    assert run.objects == [{**made.objects[0], "path": str(here / "x.png")}]


def test_it_can_be_searched(history: Ask, accounts: Accounts) -> None:
    accounts.make(
        entry(1, prompt="A red Fox", backend="flux"),
        entry(2, prompt="рыжая ЛИСА", backend="flux"),
        entry(3, prompt="雪の中の狐", backend="sd"),
    )

    def found(*words: str) -> list[str]:
        run = history("--json", *words)
        assert (run.code, run.err) == (0, "")
        return [note["path"][10] for note in run.objects]

    assert found("--search", "fox red") == ["1"]
    assert found("--search", "лиса") == ["2"]
    assert found("--search", "狐") == ["3"]
    assert found("--search", "fox", "--backend", "sd") == []
    assert found("--backend", "flux") == ["2", "1"]
    assert found("--since", "2026-11-16") == ["3", "2", "1"]
    assert found("--since", "2026-11-17") == []
    assert found("--limit", "1") == ["3"]


def test_the_newest_twenty_are_enough_unless_all_are_wanted(
    history: Ask, accounts: Accounts
) -> None:
    accounts.make(*map(entry, range(1, 121)))

    assert len(history().lines) == 20
    assert len(history("--limit", "0").lines) == 120
    assert len(history("--limit", "0", "--json").objects) == 120


def test_when_there_is_nothing_stdout_is_empty(history: Ask) -> None:
    nothing, not_found, json = history(), history("--search", "x"), history("--json")

    assert (nothing.code, nothing.out) == (not_found.code, not_found.out) == (0, "")
    assert nothing.err == "imagen: No images yet.\n"
    assert not_found.err == "imagen: No image matches.\n"
    assert (json.code, json.out, json.err) == (0, "", "")


@pytest.mark.parametrize(
    ("words", "fragment"),
    [
        (("--since", "yesterday"), "'yesterday' is not a date such as 2026-05-01"),
        (("--since", "2026-02-30"), "'2026-02-30' is not a date"),
        (("--since", ""), "'' is not a date"),
        (("--limit", "-1"), "--limit -1 is below 0."),
        (("--limit", "1.5"), "'1.5' is not a whole number"),
        (("frob",), "Unexpected argument: 'frob'."),
        (("--frob",), "Unknown option: --frob."),
        (("forget",), "ID is missing."),
    ],
)
def test_wrong_words_are_one_sentence(
    history: Ask, words: tuple[str, ...], fragment: str
) -> None:
    run = history(*words)

    assert (run.code, run.out) == (2, "")
    assert_one_sentence(run.err, fragment)


# In a terminal, and in a pipe


def test_nothing_in_it_can_garble_the_terminal(
    history: Ask, accounts: Accounts
) -> None:
    evil = entry(1, prompt="\x1b[2J\r\n\u202ea cat\x07", backend="b\x1b\n")
    accounts.make(msgspec.structs.replace(evil, location="/p/\x1b]0;x\x07\n\udcff.png"))

    run = history()

    assert len(run.lines) == 1
    assert not set("\x1b\x07\r\u202e") & set(run.out)
    assert "/p/\\x1b]0;x\\x07\\n\\udcff.png" in run.out
    assert history("--json").objects[0]["path"] == "/p/\x1b]0;x\x07\n\ufffd.png"


@pytest.mark.parametrize(
    ("prompt", "columns"),
    [("a red fox " * 40, ""), ("\u72d0" * 200, "150")],
)
def test_a_terminal_shortens_the_prompt_and_a_pipe_does_not(
    screen: Screen, ask: Ask, accounts: Accounts, prompt: str, columns: str
) -> None:
    accounts.make(entry(1, prompt=prompt, seed=7))
    width = int(columns or 100)

    code, seen = screen.run(IMAGEN, "history", **accounts.env, COLUMNS=columns)
    piped = ask("history", env={**accounts.env, "COLUMNS": "40"})

    assert code == 0
    assert cell_len(seen.rstrip("\r\n")) in {width - 1, width}
    assert piped.lines[0].endswith(prompt.strip())


def test_a_narrow_terminal_has_two_lines_for_an_image(
    screen: Screen, accounts: Accounts
) -> None:
    made = entry(1, prompt="a red fox " * 40, seed=7)
    accounts.make(msgspec.structs.replace(made, location="/pictures" * 20 + "/1.png"))

    code, seen = screen.run(IMAGEN, "history", **accounts.env, COLUMNS="80")

    first, second = seen.splitlines()
    assert code == 0
    assert (len(first), len(second)) == (80, 80)
    assert "a red fox" in first
    assert second.split()[1] == "7"
    assert second.endswith("/pictures/1.png")


def test_columns_are_aligned_whatever_the_script(
    history: Ask, accounts: Accounts
) -> None:
    accounts.make(entry(1, backend="\u72d0\u306e\u7d75"), entry(2, backend="flux"))

    first, second = history().lines

    assert cell_len(first.partition("1536x768")[0]) == cell_len(
        second.partition("1536x768")[0]
    )


def test_a_reader_that_stops_early_is_no_error(sh: Shell, accounts: Accounts) -> None:
    accounts.make(*map(entry, range(1, 2000)))

    run = sh(
        f"IMAGEN_DATA_DIR={accounts.folder}; export IMAGEN_DATA_DIR;"
        ' { "$0" history --limit 0; echo "exit $?" >&2; } | head -1'
    )

    assert len(run.lines) == 1
    assert run.err == "exit 0\n"


# Forgetting


def test_what_is_forgotten_is_gone_and_its_file_stays(
    ask: Ask, accounts: Accounts, here: Path
) -> None:
    prompt = "a zebra named Quagmire"
    words = (prompt, "--size", "32x32", "-o", "x.png", "--no-metadata", "--no-sidecar")
    ask("generate", *words, env=accounts.env)

    run = ask("history", "forget", "last", env=accounts.env)

    assert (run.code, run.out) == (0, "")
    assert_one_sentence(
        run.err, f"removed from the history; the file stays at {here}/x.png."
    )
    assert (here / "x.png").exists()
    assert accounts.images == []
    left = b"".join(p.read_bytes() for p in accounts.folder.rglob("*") if p.is_file())
    assert b"Quagmire" not in left


def test_several_are_named_in_several_ways(history: Ask, accounts: Accounts) -> None:
    accounts.make(*map(entry, range(1, 5)))

    run = history("forget", sample_id(1), sample_id(2)[:13], "last")

    assert run.code == 0
    assert len(run.err.splitlines()) == 3
    assert accounts.images == [sample_id(3)]


@pytest.mark.parametrize("name", ["nothing", "", "019a"])
def test_one_wrong_name_forgets_nothing(
    history: Ask, accounts: Accounts, name: str
) -> None:
    accounts.make(entry(1), entry(2))

    run = history("forget", sample_id(1), name)

    assert (run.code, run.out) == (2, "")
    assert_one_sentence(run.err)
    assert len(accounts.images) == 2


def test_the_beginnings_of_a_request_of_many_tell_its_images_apart(
    history: Ask, accounts: Accounts
) -> None:
    ids = [f"019a0001-0000-7{n:03x}-8000-000000000000" for n in range(4)]
    accounts.make(*(sample_entry(image_id=image_id, at=MONDAY) for image_id in ids))

    shown = [re.split(" {2,}", line.strip())[1] for line in history().lines]
    for beginning in shown:
        assert history("forget", beginning).code == 0

    assert len(set(shown)) == 4
    assert accounts.images == []


def test_the_config_of_the_docs_forgets_by_itself(
    ask: Ask, accounts: Accounts, here: Path
) -> None:
    page = Path(__file__).parents[2] / "docs" / "accounts.md"
    (block,) = re.findall(r"```yaml\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    (here / "imagen.yaml").write_text(textwrap.dedent(f"  {block}"))
    accounts.make(sample_entry(1, at=MONDAY - timedelta(days=365 * 100)))

    words = ("a cat", "--size", "32x32", "--config", "imagen.yaml", "--json")
    run = ask("generate", *words, env=accounts.env)

    assert (run.code, run.err) == (0, "")
    assert accounts.images == [run.objects[0]["id"]]
