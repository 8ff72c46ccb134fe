"""What the config, the environment and a flag make of the copy in the cloud.

There is no project here: nothing listens where it is said to be.
"""

from pathlib import Path

import pytest

from imagen.adapters.database.connection import Database
from imagen.adapters.database.delivery_queue import SqliteImageQueue
from imagen.adapters.database.history import SqliteHistory
from tests.e2e.conftest import Ask, assert_one_sentence, left_behind

OWNER = "6f0c7f7e-3b1f-4a53-9d4c-0f6a2f0b7c11"
GENERATE = ("generate", "a fox", "--size", "16x16", "-o", "fox.png")
CLOUD = "imagen: cloud sync: "


class Place:
    """A config, and what is set; nothing at first."""

    def __init__(
        self, ask: Ask, home: Path, here: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.ask, self.here = ask, here
        self.data = home / "data"
        self.set = monkeypatch.setenv
        self.set("IMAGEN_DATA_DIR", str(self.data))

    def config(self, mode: str = "", *, owner: str = OWNER) -> None:
        lines = [f'owner_user_id: "{owner}"']
        if mode:
            lines += ["output:", f"  cloud_sync: {mode}"]
        (self.here / "imagen.yaml").write_text("\n".join(lines))
        self.set("IMAGEN_CONFIG", "imagen.yaml")

    def project(self) -> None:
        self.set("SUPABASE_URL", "http://127.0.0.1:9")
        self.set("SUPABASE_SERVICE_KEY", "sb_secret_canary")

    @property
    def pending(self) -> int:
        """The number of images that wait for their upload."""
        database = Database(self.data)
        try:
            owners = [each.owner for each in SqliteHistory(database).find()]
            pending = SqliteImageQueue(database).status().pending
        finally:
            database.close()
        assert pending == len(list(filter(None, owners)))
        return pending


@pytest.fixture
def place(ask: Ask, home: Path, here: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return Place(ask, home, here, monkeypatch)


NOTICE = (
    "imagen: Usage is recorded on this machine only, because Supabase is not set up"
)
PAID = "backends: {paid: {adapter: mock, price: 0.01}}\n"


def test_once_a_day_a_paid_call_says_that_usage_stays_here(place: Place) -> None:
    (place.here / "imagen.yaml").write_text(PAID)
    place.set("IMAGEN_CONFIG", "imagen.yaml")

    free = place.ask("generate", "a fox", "--size", "16x16", "--backend", "mock")
    quiet = place.ask("generate", "a fox", "--size", "16x16", "-q")
    first = place.ask("generate", "a fox", "--size", "16x16")
    second = place.ask("generate", "a fox", "--size", "16x16")
    (mark,) = place.data.glob("usage-notice-*")
    mark.rename(mark.with_name("usage-notice-2020-01-01"))
    next_day = place.ask(
        "sweep", "a fox", "--size", "16x16", "--seed", "1,2", "-o", "s/"
    )

    assert (free.err, quiet.err, second.err) == ("", "", "")
    assert first.err.startswith(NOTICE)
    assert first.err.count("\n") == 1
    assert next_day.err.count(NOTICE) == 1
    assert [each.name for each in place.data.glob("usage-notice-*")] == [mark.name]


def test_the_config_silences_the_line_about_usage(place: Place) -> None:
    (place.here / "imagen.yaml").write_text(PAID + "usage: {remote: off}")
    place.set("IMAGEN_CONFIG", "imagen.yaml")

    run = place.ask("generate", "a fox", "--size", "16x16")

    assert (run.code, run.err) == (0, "")


def test_half_a_set_up_is_reported_after_each_paid_call(place: Place) -> None:
    (place.here / "imagen.yaml").write_text(PAID)
    place.set("IMAGEN_CONFIG", "imagen.yaml")
    place.set("SUPABASE_URL", "http://127.0.0.1:9")

    for _ in range(2):
        run = place.ask("generate", "a fox", "--size", "16x16")

        assert run.code == 0
        assert "imagen: usage: $SUPABASE_SERVICE_KEY is not set" in run.err


def test_rows_stay_here_if_the_config_uploads_none(place: Place) -> None:
    (place.here / "imagen.yaml").write_text(PAID + "usage: {remote: off}")
    place.set("IMAGEN_CONFIG", "imagen.yaml")
    place.project()

    run = place.ask("generate", "a fox", "--size", "16x16")

    assert (run.code, run.err) == (0, "")


@pytest.mark.parametrize(
    ("config", "environment", "flags", "pending"),
    [
        ("", "", (), 1),
        ("auto", "", (), 1),
        ("on", "", (), 1),
        ("off", "", (), 0),
        ("off", "auto", (), 1),
        ("off", "on", (), 1),
        ("on", "off", (), 0),
        ("on", "on", ("--no-cloud",), 0),
        ("", "", ("--no-cloud",), 0),
    ],
)
def test_the_environment_goes_before_the_config_and_the_flag_before_both(
    config: str, environment: str, flags: tuple[str, ...], pending: int, place: Place
) -> None:
    place.config(config)
    place.project()
    place.set("IMAGEN_CLOUD_SYNC", environment)

    made = place.ask(*GENERATE, *flags)

    assert (made.code, made.out) == (0, "fox.png\n")
    assert made.err.count(CLOUD) == pending
    assert "canary" not in made.err
    assert place.pending == pending


@pytest.mark.parametrize("config", [True, False])
def test_on_with_nothing_set_up_is_an_error_before_anything_is_made(
    config: bool, place: Place
) -> None:
    place.config("on" if config else "", owner="")
    if not config:
        place.set("IMAGEN_CLOUD_SYNC", "on")

    made = place.ask(*GENERATE)

    assert (made.code, made.out) == (2, "")
    assert_one_sentence(
        made.err, "$SUPABASE_URL", "$SUPABASE_SERVICE_KEY", "owner_user_id"
    )
    assert left_behind(place.here) == ["imagen.yaml"]


def test_on_names_only_what_is_missing(place: Place) -> None:
    place.config("on", owner="")
    place.project()

    made = place.ask(*GENERATE)

    assert made.code == 2
    assert "owner_user_id" in made.err
    assert "SUPABASE" not in made.err


def test_no_cloud_asks_for_nothing_that_is_missing(place: Place) -> None:
    place.config("on", owner="")

    made = place.ask(*GENERATE, "--no-cloud")

    assert (made.code, made.err) == (0, "")


@pytest.mark.parametrize("missing", ["SUPABASE_URL", "SUPABASE_SERVICE_KEY", "owner"])
def test_auto_is_off_where_something_is_missing(missing: str, place: Place) -> None:
    place.config(owner="" if missing == "owner" else OWNER)
    place.project()
    if missing != "owner":
        place.set(missing, "")

    made = place.ask(*GENERATE)

    assert (made.code, made.err) == (0, "")
    assert place.pending == 0


def test_the_other_name_of_the_key_is_looked_at(place: Place) -> None:
    place.config("on")
    place.set("SUPABASE_URL", "http://127.0.0.1:9")
    place.set("MAI_SUPABASE_KEY", "sb_secret_canary")

    assert place.ask(*GENERATE).code == 0
    assert place.pending == 1


@pytest.mark.parametrize("mode", ["yes", "ON", "sb_secret_canary"])
def test_a_mode_that_there_is_not(mode: str, place: Place) -> None:
    place.config()
    place.project()
    place.set("IMAGEN_CLOUD_SYNC", mode)

    made = place.ask(*GENERATE)

    assert (made.code, made.out) == (2, "")
    assert_one_sentence(made.err, "$IMAGEN_CLOUD_SYNC", "auto, on or off")
    assert "canary" not in made.err
    assert left_behind(place.here) == ["imagen.yaml"]


@pytest.mark.parametrize(
    "words", [("sync",), ("fetch", "last"), ("history", "--cloud")]
)
def test_a_command_for_the_cloud_says_that_there_is_none(
    words: tuple[str, ...], place: Place
) -> None:
    done = place.ask(*words)

    assert (done.code, done.out) == (2, "")
    assert_one_sentence(done.err, "$SUPABASE_URL", "docs/supabase.md")


@pytest.mark.parametrize("words", [("fetch", "last"), ("history", "--cloud")])
def test_a_command_for_the_cloud_needs_somebody_whose_images_they_are(
    words: tuple[str, ...], place: Place
) -> None:
    place.project()

    done = place.ask(*words)

    assert done.code == 2
    assert_one_sentence(done.err, "owner_user_id")


@pytest.mark.parametrize(
    "url", ["nonsense", "ftp://127.0.0.1", "http://", "http://[::1", "http://host:x"]
)
def test_an_address_that_makes_no_sense(url: str, place: Place) -> None:
    place.config()
    place.project()
    place.set("SUPABASE_URL", url)

    made = place.ask(*GENERATE)
    done = place.ask("sync")

    assert (made.code, made.out) == (0, "fox.png\n")
    assert made.err.count(CLOUD) == 1
    assert "SUPABASE_URL" in made.err
    assert done.code == 1
    assert "SUPABASE_URL" in done.err
    assert "internal error" not in (made.err + done.err).lower()


def test_usage_that_is_kept_on_this_machine_is_not_uploaded_to_be_read(
    place: Place,
) -> None:
    place.project()
    (place.here / "imagen.yaml").write_text("usage: {remote: off}")
    place.set("IMAGEN_CONFIG", "imagen.yaml")

    run = place.ask("usage")

    assert run.code == 3
    assert "127.0.0.1:9" in run.err
