"""What opens a project: what makes sense, and what is never shown."""

import pytest

from imagen.adapters.supabase.client import (
    SupabaseAccess,
    read_jwt_role,
    to_jsonable,
)
from imagen.domain.errors import Misconfigured

URL = "https://abcdefghijkl.supabase.co"


@pytest.mark.parametrize("added", ["", "/", "/rest/v1", "/rest/v1/", "/storage/v1"])
def test_the_address_is_taken_as_the_dashboard_shows_it(added: str) -> None:
    access = SupabaseAccess(URL + added, "sb_secret_canary")
    access.check()

    assert (access.url, access.host) == (URL, "abcdefghijkl.supabase.co")


@pytest.mark.parametrize(
    "url",
    [
        *("", "nonsense", "abcdefghijkl.supabase.co", "ftp://host", "http://"),
        *("http://[::1", "http://host:x", "http://host:99999", "http://a..b"),
        *(f"{URL}?apikey=canary", f"{URL}#canary", f"{URL}\0", f"{URL}/a b\n"),
        "https://supabase.com/dashboard/project/abcdefghijkl",
    ],
)
def test_an_address_that_is_no_projects(url: str) -> None:
    with pytest.raises(Misconfigured, match="SUPABASE_URL") as refused:
        SupabaseAccess(url, "sb_secret_canary").check()

    assert "canary" not in refused.value.message + refused.value.hint


@pytest.mark.parametrize("key", ["", "sb_secret_\ncanary", "eyJ canary", "cafécanary"])
def test_a_key_that_is_none(key: str) -> None:
    with pytest.raises(Misconfigured) as refused:
        _ = SupabaseAccess(URL, key).http

    assert "canary" not in refused.value.message + refused.value.hint
    assert "SUPABASE_SERVICE_KEY" in refused.value.hint


def test_nothing_shows_the_key_or_a_password() -> None:
    access = SupabaseAccess("https://me:canary@host.example", "sb_secret_canary")

    assert "canary" not in repr(access) + access.host


@pytest.mark.parametrize(
    ("key", "opens"),
    [
        ("sb_secret_x", {"apikey": "sb_secret_x"}),
        ("eyJ.x.y", {"apikey": "eyJ.x.y", "Authorization": "Bearer eyJ.x.y"}),
    ],
)
def test_a_new_key_is_no_token(key: str, opens: dict[str, str]) -> None:
    assert SupabaseAccess(URL, key).headers() == opens


@pytest.mark.parametrize(
    ("key", "public"),
    [
        ("sb_publishable_x", True),
        ("sb_secret_x", False),
        ("x.eyJyb2xlIjoiYW5vbiJ9.x", True),
        ("x.eyJyb2xlIjoic2VydmljZV9yb2xlIn0.x", False),
        ("x.!!.x", False),
        ("x", False),
    ],
)
def test_a_key_tells_by_its_looks_whether_it_is_public(key: str, public: bool) -> None:
    assert SupabaseAccess(URL, key).is_public is public


def test_a_role_is_read_from_a_token_alone() -> None:
    assert read_jwt_role("x.eyJyb2xlIjoiYW5vbiJ9.x") == "anon"
    assert read_jwt_role("sb_secret_x") == ""


def test_what_no_json_can_hold_is_replaced() -> None:
    odd = {"name": "no\udcff.png", "size": float("nan"), "most": [float("inf"), 1, "ä"]}

    assert to_jsonable(odd) == {"name": "no?.png", "size": None, "most": [None, 1, "ä"]}
