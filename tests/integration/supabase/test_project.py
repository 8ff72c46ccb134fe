"""The project itself: keys are looked at, trouble comes as ordered, nothing is left."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from supabase import ClientOptions, create_client
from tests.integration.supabase.project import (
    ROOT,
    SupabaseProject,
    missing_parts,
)
from tests.integration.supabase.rows import BUCKET, PNG, Caller, image_row, usage_row


@pytest.fixture
def service(project: SupabaseProject) -> Iterator[Caller]:
    with Caller(project, key=project.service_key) as caller:
        yield caller


def count(project: SupabaseProject) -> int:
    return int(project.sql("select count(*) from mai.imagen_usage")[0][0])


@pytest.mark.parametrize("key", ["service_key", "secret_key"])
def test_supabases_own_client_finds_it_real(project: SupabaseProject, key: str) -> None:
    owner = project.user()
    row, image = usage_row(), image_row(owner)
    with httpx.Client(timeout=60) as http:
        options = ClientOptions(
            httpx_client=http, auto_refresh_token=False, persist_session=False
        )
        client = create_client(project.url, getattr(project, key), options)
        bucket = client.storage.from_(BUCKET)

        for _ in range(2):
            client.schema("mai").table("imagen_usage").upsert(
                [row], on_conflict="id", ignore_duplicates=True
            ).execute()
            bucket.upload(
                image["storage_path"],
                PNG,
                {"content-type": "image/png", "upsert": "true", "metadata": {"a": "b"}},
            )

        assert count(project) == 1
        assert bucket.download(image["storage_path"]) == PNG
        assert bucket.info(image["storage_path"])["metadata"] == {"a": "b"}
        assert client.auth.admin.get_user_by_id(owner).user.id == owner
        assert client.schema("mai").rpc("imagen_usage_report", {}).execute().data


def test_a_key_that_is_none_opens_nothing(project: SupabaseProject) -> None:
    path = f"{project.url}/rest/v1/imagen_usage"

    answers = [
        httpx.get(path),
        httpx.get(path, headers={"apikey": "sb_secret_wrong"}),
        httpx.get(f"{project.url}/storage/v1/bucket", headers={"apikey": "sb_x"}),
        httpx.get(
            path, headers={"apikey": project.secret_key, "User-Agent": "Mozilla/5.0"}
        ),
        httpx.get(f"{project.url}/auth/v1/admin/users/x"),
    ]

    assert [answer.status_code for answer in answers] == [401] * 5


def test_trouble_comes_where_and_as_often_as_it_was_ordered(
    project: SupabaseProject, service: Caller
) -> None:
    project.trouble("/storage/v1", status=503, headers={"Retry-After": "7"}, times=2)

    answers = [service.ask("GET", "/storage/v1/bucket") for _ in range(3)]
    elsewhere = service.insert("mai.imagen_usage", usage_row())

    assert [answer.status_code for answer in answers] == [503, 503, 200]
    assert answers[0].headers["Retry-After"] == "7"
    assert elsewhere.status_code == 201
    assert project.count("GET", "/storage/v1") == 3


@pytest.mark.parametrize("done", [False, True])
def test_the_connection_is_cut_before_or_after_it_is_done(
    project: SupabaseProject, service: Caller, done: bool
) -> None:
    project.trouble("/rest/v1", method="POST", cut=True, done=done, after=1)

    service.insert("mai.imagen_usage", usage_row())
    with pytest.raises(httpx.RemoteProtocolError):
        service.insert("mai.imagen_usage", usage_row())

    assert count(project) == 1 + done
    assert [request.status for request in project.requests] == [201, None]


def test_a_slow_answer_is_an_answer(project: SupabaseProject, service: Caller) -> None:
    project.trouble("/rest/v1", delay=0.2)

    start = time.monotonic()
    answer = service.insert("mai.imagen_usage", usage_row())

    assert answer.status_code == 201
    assert time.monotonic() - start > 0.2


def test_a_frozen_postgrest_answers_nobody_until_it_thaws(
    project: SupabaseProject, service: Caller
) -> None:
    project.freeze("postgrest")
    with pytest.raises(httpx.ReadTimeout):
        service.rest("POST", "mai.imagen_usage", json=usage_row(), timeout=0.5)

    project.thaw("postgrest")

    assert service.insert("mai.imagen_usage", usage_row()).status_code == 201


def test_a_killed_postgres_keeps_what_it_said_it_keeps(
    project: SupabaseProject, service: Caller
) -> None:
    for _ in range(20):
        assert service.insert("mai.imagen_usage", usage_row()).status_code == 201
        assert service.upload(f"{BUCKET}/x/{time.monotonic_ns()}.png").is_success

    project.kill("postgres")
    refused = service.insert("mai.imagen_usage", usage_row())
    project.start("postgres")
    project.heal()

    assert refused.status_code == 503  # PGRST000, or 57P01 from its last breath
    assert count(project) == 20
    assert project.sql("select count(*) from storage.objects") == [(20,)]
    assert service.upload(f"{BUCKET}/x/after.png").is_success


def test_without_a_gateway_the_door_is_shut_until_it_is_back_at_the_same_address(
    project: SupabaseProject, service: Caller
) -> None:
    project.kill("gateway")
    with pytest.raises(httpx.ConnectError):
        service.report()

    project.start("gateway")

    assert service.report().status_code == 200


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ("drop table mai.imagen_usage", 404, None),
        pytest.param("drop schema mai cascade", 404, None, marks=pytest.mark.nightly),
        ("revoke all on mai.imagen_usage from service_role", 403, "42501"),
        pytest.param(
            "revoke usage on schema mai from service_role",
            403,
            "42501",
            marks=pytest.mark.nightly,
        ),
    ],
)
def test_what_is_not_set_up_is_told_as_hosted_tells_it(
    project: SupabaseProject, service: Caller, change: str, status: int, code: str
) -> None:
    project.change(change)
    told = service.insert("mai.imagen_usage", usage_row())
    project.reset()

    assert (told.status_code, told.json().get("code")) == (status, code)
    assert service.insert("mai.imagen_usage", usage_row()).status_code == 201


def test_a_schema_that_is_not_exposed_is_not_there(
    project: SupabaseProject, service: Caller
) -> None:
    project.expose("public")
    told = service.insert("mai.imagen_usage", usage_row())
    project.reset()

    assert (told.status_code, told.json()["code"]) == (406, "PGRST106")
    assert service.insert("mai.imagen_usage", usage_row()).status_code == 201


def processes_of(folder: Path) -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in words:
            found.append(words)
    return found


@pytest.mark.nightly
@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="needs Linux")
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_runs_on_when_it_ends_however_it_ends(how: signal.Signals) -> None:
    if missing := missing_parts():
        pytest.skip(missing)
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)  # PostgreSQL is somebody else
        by_hand = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.supabase.project"],
            cwd=ROOT,
            env={**os.environ, "TMPDIR": name},
            stdout=subprocess.PIPE,
            text=True,
        )
        with by_hand:
            assert by_hand.stdout is not None
            assert by_hand.stdout.readline().startswith("export SUPABASE_URL=http://")
            assert processes_of(Path(name))
            by_hand.send_signal(how)
        patience = time.monotonic() + 10
        while left := processes_of(Path(name)):
            assert time.monotonic() < patience, left
            time.sleep(0.05)
        folders = list(Path(name).iterdir())

    assert how == signal.SIGKILL or not folders
