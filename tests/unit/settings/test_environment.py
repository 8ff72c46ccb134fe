import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

from imagen.domain.errors import Misconfigured
from imagen.settings.environment import Environment


class Options(msgspec.Struct):
    api_key_env: str | None = "KEY"
    other_key_env: str | None = None
    unset_env: str = "UNSET"
    empty_env: str = "EMPTY"
    model: str = "KEY"
    headers_env: Mapping[str, str] = {}


def test_finds_the_secrets_that_the_options_name() -> None:
    options = Options(headers_env={"X-Key": "KEY", "X-Unset": "UNSET"})

    secrets = Environment({"KEY": "canary", "EMPTY": ""}).secrets_for(options)

    assert secrets.get("api_key_env") == "canary"
    assert secrets.get("headers_env.X-Key") == "canary"
    assert secrets.get("headers_env.X-Unset") is None
    assert secrets.get("unset_env") is None
    assert secrets.get("empty_env") is None
    assert secrets.get("model") is None


def test_never_shows_what_it_holds() -> None:
    assert "canary" not in repr(Environment({"KEY": "canary"}))


@pytest.mark.parametrize(
    ("path", "expanded"),
    [
        ("~", "/home/ada"),
        ("~/x", "/home/ada/x"),
        ("$A/x", "/a/x"),
        ("x/${A}b", "x//ab"),
        ("x~", "x~"),
        ("5$", "5$"),
        ("", "."),
    ],
)
def test_expands_home_and_variables(path: str, expanded: str) -> None:
    environment = Environment({"HOME": "/home/ada", "A": "/a"})

    assert environment.expand_path(path) == Path(expanded)


@pytest.mark.parametrize("path", ["$NOPE/x", "~nobody-of-that-name/x"])
def test_what_cannot_be_expanded_is_an_error(path: str) -> None:
    with pytest.raises(Misconfigured):
        Environment({}).expand_path(path)


def test_the_data_folder_is_absolute() -> None:
    assert Environment({"IMAGEN_DATA_DIR": "x"}).data_dir == Path.cwd() / "x"
    assert Environment({"IMAGEN_DATA_DIR": ""}).data_dir.is_absolute()


def test_reads_the_rest() -> None:
    full = Environment(
        {
            "MAI_FROM_ID": "ada",
            "IMAGEN_LOG": "json",
            "NO_COLOR": "1",
            "TMUX": "/tmux,1,0",
            "TMUX_PANE": "%2",
        }
    )
    bare = Environment({"NO_COLOR": ""})

    assert (full.caller, full.log, full.no_color) == ("ada", "json", True)
    assert (full.tmux, full.tmux_pane) == ("/tmux,1,0", "%2")
    assert (bare.caller, bare.log, bare.no_color) == ("", "", False)
    assert (bare.tmux, bare.tmux_pane) == ("", "")


@pytest.mark.parametrize("mode", ["auto", "on", "off", ""])
def test_the_cloud_copy_may_be_chosen(mode: str) -> None:
    assert Environment({"IMAGEN_CLOUD_SYNC": mode}).cloud_sync == (mode or None)


def test_another_way_to_have_a_cloud_copy_is_an_error() -> None:
    with pytest.raises(Misconfigured, match=r"\$IMAGEN_CLOUD_SYNC is 'yes'"):
        assert Environment({"IMAGEN_CLOUD_SYNC": "yes"}).cloud_sync


def test_the_key_of_supabase_has_two_names() -> None:
    both = {"SUPABASE_SERVICE_KEY": "first\n", "MAI_SUPABASE_KEY": "second"}

    assert Environment(both).supabase_key == "first"
    assert Environment({"MAI_SUPABASE_KEY": " second"}).supabase_key == "second"


def test_what_is_missing_for_supabase_is_named() -> None:
    url, key = {"SUPABASE_URL": "https://x.y\n"}, {"MAI_SUPABASE_KEY": "canary"}

    assert Environment(url).supabase_url == "https://x.y"
    assert Environment(url | key).missing_for_supabase == ()
    assert Environment(url).missing_for_supabase == ("$SUPABASE_SERVICE_KEY",)
    assert Environment(key).missing_for_supabase == ("$SUPABASE_URL",)


@pytest.mark.skipif(sys.platform != "linux", reason="macOS uses platformdirs itself")
@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"XDG_DATA_HOME": "/data", "XDG_CACHE_HOME": "/cache"},
        {"XDG_DATA_HOME": "", "XDG_CACHE_HOME": " "},
    ],
)
def test_the_folders_are_those_of_platformdirs(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    from platformdirs import user_cache_path, user_data_path

    for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HOME", "/home/ada")
    environment = Environment({"HOME": "/home/ada", **variables})

    assert environment.data_dir == user_data_path("imagen")
    assert environment.cache_dir == user_cache_path("imagen")


@pytest.mark.skipif(sys.platform != "linux", reason="macOS uses platformdirs itself")
def test_a_relative_folder_is_ignored_as_xdg_has_it() -> None:
    environment = Environment({"HOME": "/home/ada", "XDG_DATA_HOME": "data"})

    assert environment.data_dir == Path("/home/ada/.local/share/imagen")
