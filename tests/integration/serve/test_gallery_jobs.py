"""Jobs of the gallery: once per key, listed for their caller, followed, cancelled."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
from tests.integration.serve.conftest import KEY, OTHER
from tests.integration.serve.running import Running

JOBS = "/gallery/api/jobs"


def start(client: httpx.Client, key: str, **fields: object) -> httpx.Response:
    asked = {"prompt": "a fox", "model": "paid", "size": "64x64", **fields}
    return client.post(JOBS, json=asked, headers={"Idempotency-Key": key})


def read_events(answer: httpx.Response) -> Iterator[tuple[str, Any]]:
    name = ""
    for line in answer.iter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        if line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


def follow(shop: Running, job_id: str, status: str) -> Any:
    """Return a job as soon as it has the status."""
    with shop.client() as client, client.stream("GET", f"{JOBS}/events") as answer:
        for _, data in read_events(answer):
            for job in data:
                if (job["id"], job["status"]) == (job_id, status):
                    return job
    raise AssertionError("the stream has ended")


def test_a_key_starts_one_job(shop: Running) -> None:
    with shop.client() as client, ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: start(client, "once"), range(4)))
        [job_id] = {answer.json()["id"] for answer in answers}
        follow(shop, job_id, "done")
        again = start(client, "once")
        other = start(client, "once", prompt="an owl")
        keyless = client.post(JOBS, json={"prompt": "a fox"})
        listed = client.get(JOBS).json()

    assert {answer.status_code for answer in answers} == {202}
    assert (again.json()["id"], again.json()["status"]) == (job_id, "done")
    assert (other.status_code, keyless.status_code) == (422, 400)
    assert [job["id"] for job in listed] == [job_id]
    assert listed[0]["images"][0]["cost_usd"] == 0.04
    assert len(shop.stored) == 1


def test_jobs_are_followed_from_the_start_to_the_image(shop: Running) -> None:
    with shop.client() as client, client.stream("GET", f"{JOBS}/events") as answer:
        events = read_events(answer)
        assert next(events) == ("jobs", [])
        started = start(shop.http, "followed", prompt="wait for go", model="probe")
        job_id = started.json()["id"]
        seen = [*next(events)[1]]
        while seen[-1]["images"][0].get("fraction") is None:
            seen += next(events)[1]
        shop.open_gate("go")
        while seen[-1]["status"] != "done":
            seen += next(events)[1]

    assert {job["id"] for job in seen} == {job_id}
    assert seen[0]["status"] == "running"
    details = shop.http.get(f"/gallery/api/images/{seen[-1]['images'][0]['id']}")
    assert details.json()["sidecar"]["prompt"] == "wait for go"


def test_a_job_is_cancelled_and_its_end_is_listed_until_it_is_cleared(
    shop: Running,
) -> None:
    job_id = start(shop.http, "away", prompt="wait for never", model="probe").json()[
        "id"
    ]

    shop.http.delete(f"/v1/jobs/{job_id}").raise_for_status()

    assert follow(shop, job_id, "cancelled")["prompt"] == "wait for never"
    assert shop.http.delete(JOBS).json() == shop.http.get(JOBS).json() == []
    assert shop.stored == []


def test_a_failure_is_listed_with_its_reason(shop: Running) -> None:
    job_id = start(shop.http, "failing", model="refused").json()["id"]

    assert follow(shop, job_id, "failed")["error"]


def test_jobs_of_other_callers_are_hidden(guarded: Running) -> None:
    ann, bob = ({"Authorization": f"Bearer {key}"} for key in (KEY, OTHER))
    asked = {"prompt": "a fox", "size": "64x64"}
    started = guarded.http.post(
        JOBS, json=asked, headers={**ann, "Idempotency-Key": "mine"}
    )
    job_id = started.json()["id"]

    for caller, sees in ((ann, True), (bob, False)):
        listed = guarded.http.get(JOBS, headers=caller).json()
        assert (job_id in {job["id"] for job in listed}) == sees
    preview = f"{JOBS}/{job_id}/previews/1"
    assert guarded.http.get(preview, headers=bob).status_code == 404
    for wrong in ({}, {"Authorization": f"Bearer {KEY}x"}):
        for path in (JOBS, f"{JOBS}/events", preview):
            assert guarded.http.get(path, headers=wrong).status_code == 401
        assert guarded.http.post(JOBS, json=asked, headers=wrong).status_code == 401
        assert guarded.http.delete(JOBS, headers=wrong).status_code == 401


def test_a_page_of_another_site_starts_no_job(shop: Running) -> None:
    for headers in (
        {"Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "same-site"},
    ):
        key = {"Idempotency-Key": "evil", **headers}
        answer = shop.http.post(JOBS, json={"prompt": "a fox"}, headers=key)
        assert answer.status_code == 403

    assert shop.http.get(JOBS).json() == []


def test_a_rerun_can_have_another_prompt_and_style(shop: Running) -> None:
    with shop.client() as client:
        first = start(client, "first", seed=7, negative_prompt="text").json()["id"]
        [image] = follow(shop, first, "done")["images"]
        path = f"/gallery/api/images/{image['id']}/again"
        asked = {"prompt": "an owl", "style": "flat", "negative_prompt": "fog"}
        key = {"Idempotency-Key": "changed"}
        same = {client.post(path, json=asked, headers=key).json()["id"] for _ in "ab"}
        [job_id] = same
        [changed] = follow(shop, job_id, "done")["images"]
        unknown = client.post(path, json={"style": "nope"}, headers=key)
        note = client.get(f"/gallery/api/images/{changed['id']}").json()["sidecar"]

    assert (note["prompt"], note["prompt_sent"]) == ("an owl", "an owl, flat vector")
    assert (note["negative"], note["seed"]) == ("haze, fog", 7)
    assert unknown.status_code == 422  # the key is that of another request
    assert len(shop.stored) == 2


def test_fields_have_the_names_of_the_images_api(shop: Running) -> None:
    asked = {"prompt": "a fox", "width": 64, "height": 48, "steps": 7, "seed": -1}

    estimate = shop.http.post("/gallery/api/estimate", json=asked)
    job_id = start(shop.http, "names", **asked, size=None).json()["id"]
    [image] = follow(shop, job_id, "done")["images"]
    details = shop.http.get(f"/gallery/api/images/{image['id']}").json()

    assert (estimate.status_code, estimate.json()["size"]) == (200, "64x48")
    assert (details["sidecar"]["width"], details["sidecar"]["height"]) == (64, 48)
    assert details["sidecar"]["steps"] == 7
    assert details["sidecar"]["seed"] > 0


def test_head_of_a_stream_of_jobs_ends(shop: Running) -> None:
    answers = [shop.http.head(f"{JOBS}/events") for _ in range(3)]

    for answer in answers:
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["content-type"].startswith("text/event-stream")
    assert shop.http.get(JOBS).json() == []  # on the same connection


def test_a_stream_of_jobs_ends_with_the_server(serve: Any) -> None:
    server = serve(
        {"default_backend": "mock", "backends": {"mock": {"adapter": "mock"}}}
    )
    with server.client() as client, client.stream("GET", f"{JOBS}/events") as answer:
        events = read_events(answer)
        assert next(events) == ("jobs", [])

        assert server.stop() == 0

        assert list(events) == []
