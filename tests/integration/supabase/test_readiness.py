"""What is not set up yet is told, each thing with what mends it; nothing is changed."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.integration.supabase.project import SupabaseProject

from imagen.adapters.supabase.client import SupabaseAccess
from imagen.adapters.supabase.diagnostics import check_project
from imagen.ports.backend import Readiness


def look(
    project: SupabaseProject, *, key: str = "", owner: str | None = None
) -> list[Readiness]:
    access = SupabaseAccess(project.url, key or project.secret_key)
    there = project.user() if owner is None else owner
    return list(check_project(access, owner=there))


def missing(findings: list[Readiness]) -> dict[str, str]:
    return {each.name: each.note for each in findings if not each.ready}


@pytest.mark.parametrize("kind", ["secret_key", "service_key"])
def test_a_project_that_is_set_up(project: SupabaseProject, kind: str) -> None:
    findings = look(project, key=getattr(project, kind))

    assert missing(findings) == {}
    assert len(findings) == 11
    for table in (b"mai.imagen_usage", b"imagen.images", b"storage.objects"):
        assert project.sql(b"select count(*) from " + table) == [(0,)]


def test_without_an_owner_there_is_a_ledger_alone(project: SupabaseProject) -> None:
    findings = look(project, owner="")

    assert missing(findings) == {}
    assert "images are not copied" in findings[-1].note


NOBODY = "00000000-0000-4000-8000-000000000000"
USAGE = {"read mai.imagen_usage", "add to mai.imagen_usage"}
IMAGES = {"read imagen.images", "add to imagen.images"}
PRIVACY = "imagen.imagen_privacy()"


# They are among the faults of `test_all_that_is_missing_is_told_at_once`, or take the
# same branch as another case.
BY_NIGHT = {
    "no grant to add",
    "no report",
    "no grant at all",
    "nothing to ask",
    "no policy for files",
    "a public bucket",
}
FAULTS: dict[str, tuple[Callable[[SupabaseProject], None], set[str], str]] = {
    "no grant to add": (
        lambda p: p.change("revoke insert on mai.imagen_usage from service_role"),
        {"add to mai.imagen_usage"},
        "Run 0001",
    ),
    "no usage table": (
        lambda p: p.change("drop table mai.imagen_usage cascade"),
        {*USAGE, "mai.imagen_usage_report()"},
        "Run 0001",
    ),
    "no report": (
        lambda p: p.change("drop function mai.imagen_usage_report"),
        {"mai.imagen_usage_report()"},
        "Run 0001",
    ),
    "no schema": (
        lambda p: p.change("drop schema imagen cascade"),
        {*IMAGES, PRIVACY},
        "Run 0002",
    ),
    "no grant at all": (
        lambda p: p.change("revoke all on imagen.images from service_role"),
        IMAGES,
        "Run 0002",
    ),
    "nothing to ask": (
        lambda p: p.change("drop function imagen.imagen_privacy"),
        {PRIVACY},
        "Run 0002",
    ),
    "not exposed": (
        lambda p: p.expose("public", "mai"),
        {*IMAGES, PRIVACY},
        "Exposed schemas",
    ),
    "open to all": (
        lambda p: p.change("alter table imagen.images disable row level security"),
        {"row-level security"},
        "Disabled for imagen.images. Run `imagen config migrations` again",
    ),
    "no policy for rows": (
        lambda p: p.change("drop policy images_owner_reads on imagen.images"),
        {"policy: owners read their rows"},
        "Run 0002",
    ),
    "no policy for files": (
        lambda p: p.change(
            "drop policy imagen_generated_owner_reads on storage.objects"
        ),
        {"policy: owners read their files"},
        "Run 0004",
    ),
    "no bucket": (
        lambda p: p.change("truncate storage.buckets cascade"),
        {"bucket imagen-generated"},
        "Run 0003",
    ),
    "a public bucket": (
        lambda p: p.change("update storage.buckets set public = true"),
        {"bucket imagen-generated"},
        "Run 0003",
    ),
}


@pytest.mark.parametrize(
    ("fault", "things", "hint"),
    [
        pytest.param(
            *case, id=name, marks=pytest.mark.nightly if name in BY_NIGHT else ()
        )
        for name, case in FAULTS.items()
    ],
)
def test_what_is_missing(
    project: SupabaseProject,
    fault: Callable[[SupabaseProject], None],
    things: set[str],
    hint: str,
) -> None:
    fault(project)

    found = missing(look(project))

    assert found.keys() == things
    assert all(hint in note for note in found.values())


def test_a_policy_made_by_hand_is_one(project: SupabaseProject) -> None:
    project.change(
        "drop policy imagen_generated_owner_reads on storage.objects;"
        "create policy mine on storage.objects for select to authenticated using ("
        "  bucket_id = 'imagen-generated'"
        "  and (storage.foldername(name))[1] = (select auth.uid())::text)"
    )
    try:
        assert missing(look(project)) == {}
    finally:
        project.change("drop policy mine on storage.objects")


@pytest.mark.parametrize(
    "may",
    [
        "using (true)",
        pytest.param("for insert with check (true)", marks=pytest.mark.nightly),
    ],
)
def test_a_policy_for_every_bucket_is_seen_unless_it_is_shut_out(
    project: SupabaseProject, may: str
) -> None:
    project.sql(f"create policy all_may on storage.objects {may}".encode())
    try:
        assert missing(look(project)) == {}
        project.change("drop policy imagen_generated_owner_only on storage.objects")
        found = missing(look(project))
    finally:
        project.change("drop policy all_may on storage.objects")

    assert found.keys() == {"no policy for others"}
    assert "all_may" in found["no policy for others"]


def test_all_that_is_missing_is_told_at_once(project: SupabaseProject) -> None:
    project.change(
        "drop table imagen.images; drop function mai.imagen_usage_report;"
        "revoke insert on mai.imagen_usage from service_role;"
        "update storage.buckets set public = true;"
        "drop policy imagen_generated_owner_reads on storage.objects"
    )

    assert missing(look(project, owner=NOBODY)).keys() == {
        *("add to mai.imagen_usage", "mai.imagen_usage_report()"),
        *("read imagen.images", "add to imagen.images"),
        *("policy: owners read their rows", "policy: owners read their files"),
        *("bucket imagen-generated", "owner_user_id"),
    }


@pytest.mark.parametrize(
    ("path", "thing"),
    [("/storage/v1", "bucket imagen-generated"), ("/auth/v1", "owner_user_id")],
)
@pytest.mark.parametrize(
    "trouble",
    [
        {"status": 503},
        pytest.param({"status": 200}, marks=pytest.mark.nightly),
        pytest.param({"cut": True}, marks=pytest.mark.nightly),
    ],
)
def test_a_part_of_the_project_that_is_away(
    project: SupabaseProject, path: str, thing: str, trouble: dict[str, Any]
) -> None:
    project.trouble(path, **trouble)

    found = missing(look(project))

    assert found.keys() == {thing}
    assert "not a user" not in found[thing]


def test_an_owner_whom_nobody_knows(project: SupabaseProject) -> None:
    found = missing(look(project, owner=NOBODY))

    assert found.keys() == {"owner_user_id"}
    assert "Authentication > Users" in found["owner_user_id"]


@pytest.mark.parametrize("kind", ["anon_key", "publishable_key"])
def test_a_key_for_everybody(project: SupabaseProject, kind: str) -> None:
    [found] = look(project, key=getattr(project, kind))

    assert (found.name, found.ready) == ("key", False)
    assert "secret key" in found.note


def test_a_key_of_another_project(project: SupabaseProject) -> None:
    [found] = look(project, key="sb_secret_canary")

    assert (found.name, found.ready) == ("key", False)
    assert "canary" not in found.note


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9", "nonsense", "ftp://x", "http://"]
)
def test_an_address_where_nothing_is(url: str) -> None:
    [found] = check_project(SupabaseAccess(url, "sb_secret_canary"), owner="")

    assert (found.name, found.ready) == ("project", False)
    assert "canary" not in found.note


def test_a_page_that_is_not_supabases(project: SupabaseProject) -> None:
    project.trouble("/rest/v1", status=200, body="<html>Sign in</html>", times=1)

    [found] = look(project)

    assert (found.name, found.ready) == ("project", False)
    assert "not Supabase" in found.note
