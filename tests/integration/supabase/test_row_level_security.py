"""Who reads and writes what, from the reader's side: owner, another, anon, service."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from uuid import uuid4

import pytest
from tests.integration.supabase.project import SupabaseProject
from tests.integration.supabase.rows import (
    BUCKET,
    PNG,
    Caller,
    image_row,
    usage_row,
)

NOT_SERVICE = ["owner", "another", "anon"]


@dataclass
class Scene:
    """One image of an owner and one of another, with their files, and a usage row."""

    people: dict[str, Caller]
    owner: str
    another: str
    file: str
    """The owner's; Storage's name for it, bucket and all."""

    def __getitem__(self, who: str) -> Caller:
        return self.people[who]


@pytest.fixture
def scene(project: SupabaseProject) -> Iterator[Scene]:
    owner, another = project.user(), project.user()
    with ExitStack() as stack:

        def caller(key: str, token: str | None = None) -> Caller:
            return stack.enter_context(Caller(project, key=key, token=token))

        def signed_in(user: str) -> Caller:
            return caller(project.anon_key, project.token("authenticated", user))

        people = {
            "owner": signed_in(owner),
            "another": signed_in(another),
            "anon": caller(project.anon_key),
            "service": caller(project.service_key),
            "new service": caller(project.secret_key),
            "new anon": caller(project.publishable_key),
            "nobody in particular": caller(
                project.anon_key, project.token("authenticated")
            ),
        }
        service = people["service"]
        files = []
        for user in (owner, another):
            row = image_row(user)
            files.append(f"{BUCKET}/{row['storage_path']}")
            assert service.insert("imagen.images", row).status_code == 201
            assert service.upload(files[-1]).status_code == 200
        assert service.insert("mai.imagen_usage", usage_row()).status_code == 201
        yield Scene(people=people, owner=owner, another=another, file=files[0])


def test_users_read_the_rows_of_their_own_images(scene: Scene) -> None:
    def owners(who: str) -> list[str]:
        read = scene[who].rest("GET", "imagen.images?order=created_at")
        assert read.status_code == 200
        return [row["owner_user_id"] for row in read.json()]

    assert owners("owner") == [scene.owner]
    assert owners("another") == [scene.another]
    assert owners("nobody in particular") == []
    assert sorted(owners("service")) == sorted([scene.owner, scene.another])
    assert owners("new service") == owners("service")


@pytest.mark.parametrize("who", ["anon", "new anon"])
@pytest.mark.parametrize("table", ["imagen.images", "mai.imagen_usage"])
def test_the_public_key_alone_reads_no_row(scene: Scene, who: str, table: str) -> None:
    read = scene[who].rest("GET", table)

    assert (read.status_code, read.json()["code"]) == (401, "42501")


def test_the_ledger_is_for_the_service_key_alone(scene: Scene) -> None:
    for who in ("service", "new service"):
        assert len(scene[who].rest("GET", "mai.imagen_usage").json()) == 1
        assert scene[who].report().json()[0]["calls"] == 1

    for who in NOT_SERVICE:
        read = scene[who].rest("GET", "mai.imagen_usage")
        report = scene[who].report()
        assert read.status_code == report.status_code == (401 if who == "anon" else 403)
        assert read.json()["code"] == report.json()["code"] == "42501"


@pytest.mark.parametrize("who", NOT_SERVICE)
def test_nobody_else_writes_rows(scene: Scene, who: str) -> None:
    for table, row in (
        ("imagen.images", image_row(scene.owner)),
        ("mai.imagen_usage", usage_row()),
    ):
        for method in ("POST", "PATCH", "DELETE"):
            answer = scene[who].rest(
                method, f"{table}?backend=eq.mock", json={**row, "backend": "x"}
            )
            assert (method, answer.json()["code"]) == (method, "42501")

    assert len(scene["service"].rest("GET", "imagen.images").json()) == 2
    assert scene["service"].report(by=["backend"]).json()[0]["backend"] == "mock"


@pytest.mark.parametrize("table", ["imagen.images", "mai.imagen_usage"])
def test_not_even_the_service_key_changes_rows(scene: Scene, table: str) -> None:
    changed = scene["service"].rest(
        "PATCH", f"{table}?backend=eq.mock", json={"backend": "x"}
    )
    deleted = scene["service"].rest("DELETE", f"{table}?backend=eq.mock")

    for answer in (changed, deleted):
        assert (answer.status_code, answer.json()["code"]) == (403, "42501")


def test_supabases_recipe_for_schemas_opens_nothing_more(
    scene: Scene, project: SupabaseProject
) -> None:
    project.change(
        "grant usage on schema mai, imagen to anon, authenticated;"
        "grant all on all tables in schema mai, imagen to anon, authenticated"
    )

    for who, own in (("owner", 1), ("another", 1), ("anon", 0)):
        caller = scene[who]
        assert len(caller.rest("GET", "imagen.images").json()) == own
        assert caller.rest("GET", "mai.imagen_usage").json() == []
        for table, row in (
            ("imagen.images", image_row(scene.owner)),
            ("mai.imagen_usage", usage_row()),
        ):
            assert caller.insert(table, row).json()["code"] == "42501"
            caller.rest("PATCH", f"{table}?backend=eq.mock", json={"backend": "x"})
            caller.rest("DELETE", f"{table}?backend=eq.mock")

    images = scene["service"].rest("GET", "imagen.images").json()
    assert [row["backend"] for row in images] == ["mock", "mock"]
    assert scene["service"].report(by=["backend"]).json()[0]["backend"] == "mock"


def test_users_read_their_own_files(scene: Scene) -> None:
    for who in ("owner", "service", "new service"):
        assert scene[who].download(scene.file).content == PNG
        assert len(scene[who].listed(scene.owner)) == 1

    for who in ("another", "anon", "new anon", "nobody in particular"):
        assert scene[who].download(scene.file).json()["error"] == "not_found"
        assert scene[who].listed(scene.owner) == []
    assert scene["owner"].listed("") == [scene.owner]


def test_a_file_has_no_public_address(scene: Scene) -> None:
    answer = scene["anon"].ask("GET", f"/storage/v1/object/public/{scene.file}")

    assert answer.json()["error"] == "Bucket not found"


@pytest.mark.parametrize("who", NOT_SERVICE)
def test_nobody_else_writes_files(scene: Scene, who: str) -> None:
    caller, name = scene[who], f"{BUCKET}/{scene.owner}/{uuid4()}-a-dog.png"

    added = caller.upload(name)
    replaced = caller.upload(scene.file, b"a dog", replace=True)
    removed = caller.ask(
        "DELETE",
        f"/storage/v1/object/{BUCKET}",
        json={"prefixes": [scene.file.removeprefix(f"{BUCKET}/")]},
    )

    assert added.json()["statusCode"] == replaced.json()["statusCode"] == "403"
    assert removed.json() == []
    assert scene["service"].download(scene.file).content == PNG
    assert len(scene["service"].listed(scene.owner)) == 1


def test_the_reading_policy_is_enough_where_there_is_no_other(
    scene: Scene, project: SupabaseProject
) -> None:
    project.change("drop policy imagen_generated_owner_only on storage.objects")

    assert scene["owner"].download(scene.file).content == PNG
    for who in ("another", "anon"):
        assert scene[who].download(scene.file).json()["error"] == "not_found"
        assert not scene[who].upload(scene.file, replace=True).is_success


def test_what_a_project_allows_in_all_buckets_is_not_allowed_in_ours(
    scene: Scene, project: SupabaseProject
) -> None:
    project.sql("create policy all_may on storage.objects using (true)")
    project.sql("insert into storage.buckets (id, name) values ('theirs', 'theirs')")
    try:
        for who in ("another", "anon"):
            assert scene[who].upload(f"theirs/{who}.png").status_code == 200
            assert scene[who].download(f"theirs/{who}.png").content == PNG

            assert scene[who].download(scene.file).json()["error"] == "not_found"
            answer = scene[who].upload(f"{BUCKET}/{scene.owner}/{uuid4()}-a-dog.png")
            assert answer.json()["statusCode"] == "403"
        assert scene["owner"].download(scene.file).content == PNG
    finally:
        project.change("drop policy all_may on storage.objects")


@pytest.mark.parametrize(
    ("seconds", "altered"), [(-60, ""), (3600, "x")], ids=["lapsed", "forged"]
)
def test_a_bad_token_reads_nothing(
    scene: Scene, project: SupabaseProject, seconds: int, altered: str
) -> None:
    token = project.token("authenticated", scene.owner, seconds=seconds)
    head, dot, signature = token.rpartition(".")
    token = head + dot + altered + signature[len(altered) :]

    with Caller(project, key=project.anon_key, token=token) as caller:
        rows = caller.rest("GET", "imagen.images")
        file = caller.download(scene.file)

    assert (rows.status_code, rows.json()["code"]) == (401, "PGRST301")
    assert file.json()["statusCode"] == "403"
