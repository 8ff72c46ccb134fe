"""The command `imagen usage`."""

import csv
import io
import re
from datetime import timedelta
from pathlib import Path

import pytest
from rich.cells import cell_len

from imagen.domain.call import CallAccepted, CallSending
from imagen.testing.samples import MONDAY, sample_id, sample_row
from tests.contract_internal.samples import sample_call
from tests.e2e.accounts import Accounts
from tests.e2e.conftest import IMAGEN, Ask, Shell, assert_one_sentence
from tests.e2e.test_terminal import COLOUR, Screen, screen
from tests.nightly import some_by_day

__all__ = ["screen"]  # a fixture

SUNDAY = MONDAY - timedelta(days=1)  # in the week before
FOX = "\u72d0"


@pytest.fixture
def accounts(home: Path) -> Accounts:
    return Accounts(home / "data")


@pytest.fixture
def usage(ask: Ask, accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> Ask:
    monkeypatch.setenv("IMAGEN_DATA_DIR", str(accounts.folder))
    return lambda *words: ask("usage", *words)


@pytest.fixture
def spent(accounts: Accounts) -> None:
    accounts.spend(
        sample_row(1, backend="flux", cost=25_000, images=2),
        sample_row(2, backend="flux", cost=None, caller=""),
        sample_row(3, backend="sd", cost=3),
        sample_row(4, backend="sd", cost=1_000_000, at=SUNDAY),
    )


def test_rows_of_a_clock_that_was_ahead_are_named(
    usage: Ask, accounts: Accounts
) -> None:
    accounts.spend(sample_row(1, cost=3, at=MONDAY.replace(year=2999)))

    for words in ((), ("--raw",), ("--json",)):
        run = usage(*words)
        assert run.code == 0
        assert "1 row is dated in the future, $0.000003" in run.err


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t"])
def test_a_csv_cell_is_no_formula_in_a_spreadsheet(
    usage: Ask, accounts: Accounts, sign: str
) -> None:
    accounts.spend(sample_row(1, caller=f"{sign}1+1", cost=1))

    [row] = csv.DictReader(io.StringIO(usage("--raw", "--csv").out))

    assert (row["caller"], row["cost_usd"]) == (f"'{sign}1+1", "0.000001")
    [row] = csv.DictReader(io.StringIO(usage("--by", "caller", "--csv").out))
    assert row["caller"] == f"'{sign}1+1"


def table(out: str) -> list[list[str]]:
    return [re.split(" {2,}", line.strip()) for line in out.splitlines()]


@pytest.mark.usefixtures("spent")
def test_what_was_spent_is_a_table_with_its_total(usage: Ask) -> None:
    run = usage()

    assert (run.code, run.err) == (0, "")
    assert table(run.out) == [
        ["week", "backend", "model", "caller", "calls", "images", "cost"],
        ["2026-W47", "flux", "flux-dev", "-", "1", "1", "+ 1 unknown"],
        ["2026-W47", "flux", "flux-dev", "writer", "1", "2", "$0.025"],
        ["2026-W47", "sd", "flux-dev", "writer", "1", "1", "$0.000003"],
        ["2026-W46", "sd", "flux-dev", "writer", "1", "1", "$1.00"],
        ["total", "4", "5", "$1.025003", "+ 1 unknown"],
    ]


@pytest.mark.usefixtures("spent")
@pytest.mark.parametrize(
    ("by", "lines"),
    [
        (
            "backend",
            [
                ["flux", "2", "3", "$0.025", "+ 1 unknown"],
                ["sd", "2", "2", "$1.000003"],
            ],
        ),
        (
            "caller, week",
            [
                ["-", "2026-W47", "1", "1", "+ 1 unknown"],
                ["writer", "2026-W47", "2", "3", "$0.025003"],
                ["writer", "2026-W46", "1", "1", "$1.00"],
            ],
        ),
    ],
)
def test_it_is_told_apart_by_what_is_asked_for(
    usage: Ask, by: str, lines: list[list[str]]
) -> None:
    run = usage("--by", by)

    assert table(run.out)[1:-1] == lines


@pytest.mark.usefixtures("spent")
def test_days_are_those_of_utc_and_the_first_one_counts(usage: Ask) -> None:
    def calls(since: str) -> list[str]:
        return [row["id"] for row in usage("--raw", "--json", "--since", since).objects]

    assert calls("2026-11-15") == [sample_id(n) for n in (3, 2, 1, 4)]
    assert calls("2026-11-16") == [sample_id(n) for n in (3, 2, 1)]
    assert calls("2026-11-17") == []


@pytest.mark.usefixtures("spent")
def test_the_rows_themselves_are_the_newest_first(usage: Ask) -> None:
    run = usage("--raw")

    assert (run.code, run.err) == (0, "")
    head, newest, unknown, *_ = table(run.out)
    assert head[:3] == ["time (UTC)", "id", "caller"]
    assert newest == [
        *("2026-11-16 09:33:15", sample_id(3)[:13], "writer", "sd", "flux-dev", "ok"),
        *("4.3 s", "1", "$0.000003"),
    ]
    assert unknown[2:] == ["-", "flux", "flux-dev", "unknown", "-", "1", "unknown"]


@pytest.mark.usefixtures("spent")
def test_in_json_each_group_is_an_object(usage: Ask) -> None:
    run = usage("--json", "--by", "backend,caller")

    assert (run.code, run.err) == (0, "")
    columns = ["backend", "caller", "calls", "images", "cost_usd", "unknown"]
    assert [list(group) for group in run.objects] == [columns] * 3
    assert [tuple(group.values()) for group in run.objects] == [
        ("flux", "", 1, 1, None, 1),
        ("flux", "writer", 1, 2, 0.025, 0),
        ("sd", "writer", 2, 2, 1.000003, 0),
    ]


@pytest.mark.usefixtures("spent")
def test_in_json_each_row_has_what_the_ledger_has(usage: Ask) -> None:
    newest, unknown, *_ = usage("--json", "--raw").objects

    assert newest == {
        "id": sample_id(3),
        "created_at": "2026-11-16T09:33:15.123456Z",
        "caller": "writer",
        "backend": "sd",
        "adapter": "replicate",
        "model": "flux-dev",
        "status": "ok",
        "latency_ms": 4321,
        "images": 1,
        "cost_usd": 0.000003,
        "cost_source": "reported",
        "prompt_sha256": "ab" * 32,
    }
    assert (unknown["cost_usd"], unknown["latency_ms"]) == (None, None)


def test_amounts_are_exact_however_large(usage: Ask, accounts: Accounts) -> None:
    accounts.spend(sample_row(1, cost=9_007_199_254_740_993))  # no float is that

    assert '"cost_usd":9007199254.740993,' in usage("--json").out
    assert ",9007199254.740993," in usage("--csv", "--raw").out
    assert " $9007199254.740993\n" in usage().out


def test_csv_is_what_rfc_4180_says(ask: Ask, accounts: Accounts) -> None:
    caller = 'Ada, "the\nfirst"; лиса'
    accounts.spend(sample_row(1, caller=caller), sample_row(2, cost=None))

    raw = ask("usage", "--raw", "--csv", env=accounts.env)
    groups = ask("usage", "--csv", "--by", "caller", env=accounts.env)
    empty = ask("usage", "--csv", "--since", "2030-01-01", env=accounts.env)

    assert (raw.code, raw.err) == (0, "")
    assert raw.bytes.startswith(b"id,created_at,caller,backend,adapter,model,status,")
    first, second = csv.DictReader(io.StringIO(raw.bytes.decode(), newline=""))
    assert (first["cost_usd"], second["cost_usd"]) == ("", "0.025")
    assert second["caller"] == caller
    assert b',"Ada, ""the\nfirst""; ' in raw.bytes
    assert groups.bytes.splitlines(keepends=True)[0] == (
        b"caller,calls,images,cost_usd,unknown\r\n"
    )
    assert groups.bytes.endswith(b"\nwriter,1,1,,1\r\n")
    assert empty.bytes == b"week,backend,model,caller,calls,images,cost_usd,unknown\r\n"


@pytest.mark.usefixtures("spent")
@pytest.mark.parametrize("columns", [20, 60, 200])
def test_bars_are_as_long_as_the_dollars(
    usage: Ask, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))

    run = usage("--plot")

    assert (run.code, run.err) == (0, "")
    assert len(run.lines) == 3
    assert max(map(cell_len, run.lines)) <= columns
    assert "\x1b" not in run.out
    if columns > 20:
        assert run.lines[0].startswith("2026-W47 ")
        assert run.lines[0].endswith(" $0.025003 + 1 unknown")
        assert run.lines[1].count("█") > 20 * run.lines[0].count("█")
        assert run.lines[2].split() == ["total", "$1.025003", "+", "1", "unknown"]


def test_bars_are_by_the_first_name(usage: Ask, accounts: Accounts) -> None:
    accounts.spend(
        sample_row(1, backend=f"{FOX}[red]\x1b"), sample_row(2, cost=None, backend="x")
    )

    run = usage("--plot", "--by", "backend,week")

    assert [line.split()[0] for line in run.lines] == ["x", f"{FOX}[red]\\x1b", "total"]
    assert "█" not in run.lines[0]


@pytest.mark.usefixtures("spent")
def test_bars_have_a_colour_in_a_terminal_unless_nobody_wants_it(
    screen: Screen, accounts: Accounts
) -> None:
    code, coloured = screen.run(IMAGEN, "usage", "--plot", **accounts.env)
    _, plain = screen.run(IMAGEN, "usage", "--plot", **accounts.env, NO_COLOR="1")

    assert code == 0
    assert COLOUR.search(coloured)
    assert not COLOUR.search(plain)
    assert {cell_len(line) for line in plain.splitlines()} == {100}


@pytest.mark.parametrize("words", [(), ("--raw",), ("--plot",), ("--local",)])
def test_when_nothing_was_spent_stdout_is_empty(
    usage: Ask, words: tuple[str, ...]
) -> None:
    run = usage(*words)

    assert (run.code, run.out) == (0, "")
    assert run.err == "imagen: No usage.\n"
    assert usage("--json").out == usage("--json", "--raw").out == ""


def test_what_open_jobs_may_add_is_said(usage: Ask, accounts: Accounts) -> None:
    accounts.leave(sample_call(1))
    accounts.leave(sample_call(2, may_cost=False), CallAccepted(reference="x"))
    nothing = usage("--json")
    accounts.leave(sample_call(3, reserved=25_000), CallSending())
    one = usage("--json")
    accounts.leave(sample_call(4, reserved=25_000), CallSending())
    accounts.leave(sample_call(5, reserved=None), CallSending())
    three = usage("--raw", "--csv")

    assert nothing.err == ""
    assert one.err == "imagen: 1 open job may add $0.025: imagen jobs\n"
    assert three.err == "imagen: 3 open jobs may add $0.05 + 1 unknown: imagen jobs\n"
    assert one.out == ""


@pytest.mark.parametrize(
    ("words", "fragment"),
    [
        (("--json", "--csv"), "--json and --csv cannot be combined."),
        (("--csv", "--plot"), "--csv and --plot cannot be combined."),
        (("--raw", "--plot"), "--raw and --plot cannot be combined."),
        (("--raw", "--by", "week"), "--raw and --by cannot be combined."),
        (("--by", "modle"), "by 'modle'. Did you mean model?"),
        (("--by", "frob"), "Use one or more of: week, backend, model, caller."),
        (("--by", "week,"), "by ''."),
        (("--by", ""), "by ''."),
        (("--by", "week,model,week"), "--by names week twice."),
        (("--since", "2026-13-01"), "'2026-13-01' is not a date such as 2026-05-01"),
        (("week",), "Unexpected argument: 'week'."),
    ],
)
def test_wrong_words_are_one_sentence(
    usage: Ask, words: tuple[str, ...], fragment: str
) -> None:
    run = usage(*words)

    assert run.code == 2
    assert_one_sentence(run.err, fragment)


def test_nothing_in_it_can_garble_the_table(usage: Ask, accounts: Accounts) -> None:
    accounts.spend(
        sample_row(1, model="\x1b[2J\nx", caller=FOX * 3, backend="\u202eb"),
        sample_row(2, model="plain"),
    )

    for words in ((), ("--raw",)):
        run = usage(*words)
        assert not set("\x1b\u202e") & set(run.out)
        assert len(run.lines) == 4 - len(words)
        starts = {cell_len(re.split(r" 1  +\$", line)[0]) for line in run.lines[1:3]}
        assert len(starts) == 1


def test_a_reader_that_stops_early_is_no_error(sh: Shell, accounts: Accounts) -> None:
    accounts.spend(*map(sample_row, range(1, 3000)))

    for flags in some_by_day(["--raw --csv", "--raw", "--raw --json"], 1):
        run = sh(
            f"IMAGEN_DATA_DIR={accounts.folder}; export IMAGEN_DATA_DIR;"
            f' {{ "$0" usage {flags}; echo "exit $?" >&2; }} | head -1'
        )

        assert len(run.lines) == 1
        assert run.err == "exit 0\n"
