"""What the migrations make, and that they can be run again at any time."""

from typing import Any
from uuid import uuid4

import msgspec
import psycopg
import pytest
from tests.integration.supabase.project import SupabaseProject
from tests.integration.supabase.rows import Caller, image_row, usage_row

from imagen.cli.app import main
from imagen.domain.media import EXTENSIONS
from imagen.domain.money.usage import UsageRow

IMAGE_COLUMNS = (
    "id owner_user_id created_at prompt prompt_sha256 backend model seed steps width "
    "height latency_ms cost_usd storage_path mime_type bytes sha256 sidecar tags"
)


def columns(project: SupabaseProject, schema: str, table: str) -> list[str]:
    found = project.sql(
        "select column_name from information_schema.columns "
        "where table_schema = %s and table_name = %s order by ordinal_position",
        schema,
        table,
    )
    return [name for (name,) in found]


def test_the_columns_are_those_of_the_ledger_and_the_images(
    project: SupabaseProject,
) -> None:
    usage = columns(project, "mai", "imagen_usage")
    images = columns(project, "imagen", "images")

    fields = [field.name for field in msgspec.structs.fields(UsageRow)]
    assert [name.replace("_usd", "_micros") for name in usage] == fields
    assert images == IMAGE_COLUMNS.split()


def test_a_role_that_is_no_superuser_runs_them_again_and_nothing_changes(
    project: SupabaseProject, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    with Caller(project, key=project.service_key) as service:
        service.insert("mai.imagen_usage", usage_row())
        service.insert("imagen.images", image_row(project.user()))
    before = project.dump()

    assert main(["config", "migrations"]) == 0
    project.sql(capsysbinary.readouterr().out)

    assert project.dump() == before
    assert project.sql("select count(*) from mai.imagen_usage") == [(1,)]
    assert project.sql("select count(*) from imagen.images") == [(1,)]
    assert project.sql("select usesuper from pg_user where usename = current_user") == [
        (False,)
    ]


def test_the_command_creates_all_of_it(
    project: SupabaseProject, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    before = project.dump()
    project.change("drop schema mai, imagen cascade; truncate storage.buckets cascade")

    assert main(["config", "migrations"]) == 0
    project.sql(capsysbinary.readouterr().out)

    assert project.dump() == before
    assert project.sql("select id from storage.buckets") == [("imagen-generated",)]


def test_the_bucket_becomes_private_again_and_takes_every_format(
    project: SupabaseProject,
) -> None:
    project.sql("update storage.buckets set public = true, allowed_mime_types = null")

    project.migrate()

    [(public, types)] = project.sql(
        "select public, allowed_mime_types from storage.buckets"
    )
    assert not public
    assert set(types) == set(EXTENSIONS)


def test_nothing_is_rounded(project: SupabaseProject) -> None:
    owner, seed, cost = project.user(), 2**64 - 1, "9999999999999.000001"

    with Caller(project, key=project.service_key) as service:
        service.insert("mai.imagen_usage", usage_row(cost_usd=cost))
        service.insert("imagen.images", image_row(owner, seed=seed, cost_usd=cost))
        [read] = service.rest("GET", "imagen.images").json()

    assert read["seed"] == seed
    for table in ("mai.imagen_usage", "imagen.images"):
        assert str(project.sql(f"select cost_usd from {table}")[0][0]) == cost


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"id": None}, "23502"),
        ({"id": "not-a-uuid"}, "22P02"),
        ({"created_at": "yesterday-ish"}, "22007"),
        ({"model": None}, "23502"),
        ({"caller": "a\0b"}, "22P05"),
        ({"status": "weird"}, "23514"),
        ({"latency_ms": -1}, "23514"),
        ({"images": -1}, "23514"),
        ({"cost_usd": -0.01}, "23514"),
        ({"cost_source": "guessed"}, "23514"),
        ({"prompt_sha256": "a cat"}, "23514"),
        ({"prompt": "a cat"}, "PGRST204"),
    ],
)
def test_a_usage_row_that_makes_no_sense_is_refused(
    project: SupabaseProject, wrong: dict[str, Any], code: str
) -> None:
    with Caller(project, key=project.service_key) as service:
        answer = service.insert("mai.imagen_usage", usage_row(**wrong))

    assert (answer.status_code, answer.json()["code"]) == (400, code)


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"owner_user_id": None}, "23502"),
        ({"storage_path": "{other}/{id}-a-cat.png"}, "23514"),
        ({"storage_path": "{owner}/{other}-a-cat.png"}, "23514"),
        ({"storage_path": "{owner}/{id}-/../a-cat.png"}, "23514"),
        ({"prompt": "a\0cat"}, "22P05"),
        ({"prompt_sha256": "a cat"}, "23514"),
        ({"seed": 10**20}, "22003"),
        ({"width": 0}, "23514"),
        ({"latency_ms": -1}, "23514"),
        ({"cost_usd": -0.01}, "23514"),
        ({"bytes": 0}, "23514"),
        ({"sha256": "F" * 64}, "23514"),
        ({"sidecar": ["a cat"]}, "23514"),
    ],
)
def test_an_image_row_that_makes_no_sense_is_refused(
    project: SupabaseProject, wrong: dict[str, Any], code: str
) -> None:
    owner, other = project.user(), project.user()
    row = image_row(owner)
    names = {"owner": owner, "other": other, "id": row["id"]}
    if "storage_path" in wrong:
        wrong = {"storage_path": wrong["storage_path"].format(**names)}

    with Caller(project, key=project.service_key) as service:
        answer = service.insert("imagen.images", {**row, **wrong})

    assert (answer.status_code, answer.json()["code"]) == (400, code)


def test_images_have_an_owner_who_exists_and_stays(project: SupabaseProject) -> None:
    owner = project.user()

    with Caller(project, key=project.service_key) as service:
        nobodys = service.insert("imagen.images", image_row(str(uuid4())))
        kept = service.insert("imagen.images", image_row(owner))

    assert (nobodys.status_code, nobodys.json()["code"]) == (409, "23503")
    assert kept.status_code == 201
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        project.sql("delete from auth.users where id = %s", owner)
