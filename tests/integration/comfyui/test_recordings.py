"""Our ComfyUI against recordings of a real one, where somebody has them.

`IMAGEN_RECORDINGS` names the folder. What was sent to the real server is sent to ours,
one thing after another, and what comes back is compared: every frame with its keys and
values, every refusal with its words, every schema with its inputs. Left out are times,
ids, tooltips, tracebacks and the folders in them.
"""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.integration.comfyui.server import ComfyServer
from tests.integration.comfyui.talk import Talk

FOLDER = os.environ.get("IMAGEN_RECORDINGS")
pytestmark = pytest.mark.skipif(
    FOLDER is None, reason="IMAGEN_RECORDINGS names no folder with recordings"
)

TINY = {
    "checkpoints": [
        "tiny-sd15-random.safetensors",
        "tiny-sd15-tae-random.safetensors",
    ],
    "diffusion_models": [
        "tiny-flux-dev-random.safetensors",
        "tiny-flux-schnell-random.safetensors",
    ],
    "text_encoders": [
        "clip_l-random.safetensors",
        "t5xxl-1layer-random.safetensors",
    ],
    "vae": [
        "flux-ae-random.safetensors",
        "tiny-flux-tae-random.safetensors",
        "tiny-sd15-tae-random.safetensors",
    ],
}


@pytest.mark.parametrize(
    "name",
    [
        "01_modelfree",
        "02_cached",
        "03_invalid",
        "04_runtime_error",
        "13_filename_prefix",
        "14_png_metadata",
        "15_save_image_websocket",
        "16_latent_previews",
        "flux_schnell_64",
        "sd15_kl_64",
        "sd15_tae_64",
        "sd15_tae_256",
    ],
)
def test_the_same_frames_come_in_the_same_order(name: str) -> None:
    faults: list[str] = []
    compared = 0

    with ComfyServer(models=TINY, custom_nodes=True, previews=True) as server:
        server.previews = name.startswith("16")
        if name.startswith("04"):
            server.trouble(fails="It broke.\n", fails_at="VAEDecode", times=1)
        for path, asked, theirs in runs_of(name):
            with Talk(server, asked.get("client_id", "nobody")) as talk:
                assert talk.ws is not None
                talk.hear()
                for said in said_on(name, asked.get("client_id")):
                    talk.ws.send(json.dumps(said))
                    talk.hear()
                here = str(server.folder)
                sent = json.dumps(asked).replace("/opt/ComfyUI", here)
                answer = talk.http.post(path, content=sent)
                if not theirs:
                    continue
                ours = talk.hear_until("end", of=answer.json()["prompt_id"])
            mine = [about(frame) for frame in ours if concerns(frame)]
            compared += 1
            if mine != theirs:
                faults.append(first_difference(theirs, mine))

    assert compared
    assert not faults, f"{len(faults)} of {compared}:\n" + "\n".join(faults)


def test_the_same_words_come_with_a_refusal() -> None:
    faults: list[str] = []
    compared = 0

    with ComfyServer(models={**TINY, "checkpoints": TINY["checkpoints"]}) as server:
        talk = Talk(server)
        for event in events_of("03_invalid"):
            if event.get("path") != "/prompt" or "request_json" not in event:
                continue
            answer = talk.http.request(
                event["method"], "/prompt", json=event["request_json"]
            )
            mine = [answer.status_code, refusal(answer)]
            theirs = [event["status"], refusal(event["response"])]
            compared += 1
            if mine != theirs:
                faults.append(f"{event['request_json']}\n  {theirs}\n  {mine}")
        talk.http.close()

    assert compared > 30
    assert not faults, f"{len(faults)} of {compared}:\n" + "\n".join(faults)


def test_the_same_history_is_kept() -> None:
    with ComfyServer(models=TINY) as server, Talk(server) as talk:
        for name in ("01_modelfree", "sd15_tae_64", "flux_schnell_64"):
            (_, asked, _), *_ = runs_of(name)
            talk.client_id = asked["client_id"]
            made = talk.http.post("/prompt", json=asked).json()["prompt_id"]
            server.wait_until(lambda made=made: server.prompt(made).state == "success")
            ours = talk.history(made)[made]

            theirs = next(
                entry
                for event in events_of(name)
                if str(event.get("path")).startswith("/history/")
                for entry in event["response"].values()
            )
            assert kept(ours) == kept(theirs)


def test_the_same_inputs_are_asked_for() -> None:
    with ComfyServer(models=TINY) as server:
        talk = Talk(server)
        for event in events_of("11_misc"):
            path = str(event.get("path"))
            if path.startswith("/object_info/") and "__truncated__" not in str(event):
                ours = talk.http.get(path).json()
                assert schemas(ours) == schemas(event["response"]), path
        talk.http.close()


def test_the_same_status_comes_for_what_can_only_be_read() -> None:
    compared = 0
    with ComfyServer(models=TINY) as server:
        talk = Talk(server)
        for event in events_of("11_misc"):
            path = str(event.get("path"))
            begins = ("/models", "/system_stats", "/features", "/queue", "/prompt")
            if event.get("method") != "GET" or not path.startswith(begins):
                continue
            headers = dict(event.get("request_headers", {}))
            if "8188" in headers.get("Origin", ""):
                continue
            answer = talk.http.get(path, headers=headers)
            compared += 1
            assert answer.status_code == event["status"], event
            theirs = event["response"]
            if isinstance(theirs, dict) and "__truncated__" not in theirs:
                assert list(answer.json()) == list(theirs)
        talk.http.close()
    assert compared > 10


def events_of(name: str) -> list[dict[str, Any]]:
    """Read a recording."""
    assert FOLDER is not None
    events: list[dict[str, Any]] = json.loads(
        (Path(FOLDER) / f"{name}.json").read_text(encoding="utf-8")
    )["events"]
    return events


def runs_of(name: str) -> Iterator[tuple[str, dict[str, Any], list[object]]]:
    """Give what was posted, and the frames that it led to, if anybody heard them."""
    events = events_of(name)
    for event in events:
        asked = event.get("request_json")
        if event["kind"] != "http" or not isinstance(asked, dict):
            continue
        if event["path"] == "/free":
            yield "/free", asked, []
        elif event["path"] == "/prompt" and event["status"] == 200:
            frames = list(frames_of(events, event["response"]["prompt_id"]))
            yield "/prompt", asked, frames


def frames_of(events: list[dict[str, Any]], prompt_id: str) -> Iterator[object]:
    """Give the frames of a prompt from execution_start to `executing null`."""
    owner: object = None
    for event in events:
        if event["kind"] != "ws_frame":
            continue
        frame = event.get("frame")
        said = frame["data"] if frame else {}
        if said.get("prompt_id") == prompt_id and frame["type"] == "execution_start":
            owner = event["ws"]
        if owner is None or event["ws"] != owner:
            continue
        if frame is None:
            layout = [event["event_type"], list(event.get("metadata", ()))]
            yield [*layout, event["payload_magic"][:6]]
        elif concerns(frame):
            yield about(frame)
        if said.get("prompt_id") == prompt_id and said.get("node", "") is None:
            return


def said_on(name: str, client_id: object) -> list[Any]:
    """Give what a client said on its socket."""
    return [
        event["frame"]
        for event in events_of(name)
        if event["kind"] == "ws_send" and event["ws"] == client_id
    ]


def concerns(frame: Any) -> bool:
    """Tell whether a frame is about a prompt."""
    return isinstance(frame, bytes) or frame["type"] not in {"status", "feature_flags"}


def about(frame: Any) -> object:
    """Keep of a frame what must be the same."""
    if isinstance(frame, bytes):
        if frame[:4] == b"\0\0\0\x01":
            return [1, [], frame[8:11].hex()]
        length = int.from_bytes(frame[4:8])
        keys = list(json.loads(frame[8 : 8 + length]))
        return [4, keys, frame[8 + length : 11 + length].hex()]
    kind, said = frame["type"], dict(frame["data"])
    keys = list(said)
    for gone in ("timestamp", "prompt_id", "traceback", "current_outputs"):
        said.pop(gone, None)
    if kind == "execution_error":
        said["executed"] = sorted(said["executed"])
        said["current_inputs"] = sorted(said["current_inputs"])
        told = str(said["exception_message"])
        saves = told.startswith(("****", "[Errno"))
        said["exception_message"] = (
            told.split("\n", maxsplit=1)[0][:60] if saves else "…"
        )
        if not saves:
            said.pop("exception_type")
    told = json.dumps([kind, keys, said])
    told = re.sub(r'"prompt_id": "[^"]*"', '"prompt_id": "…"', told)
    told = re.sub(r"/[a-z/]*/comfyui[^/]*/", "/…/", told, flags=re.IGNORECASE)
    told = re.sub(r"temp_[a-z]{5}_", "temp_…_", told)
    told = re.sub(r"\d{4}-\d\d-\d\d_\d{6}", "now", told)
    return re.sub(r"_\d{5}_", "_n_", told)


def first_difference(theirs: list[object], ours: list[object]) -> str:
    """Say where two rows of frames part."""
    for at, (one, other) in enumerate(zip(theirs, ours, strict=False)):
        if one != other:
            return f"frame {at}\n  {one}\n  {other}"
    return f"{len(theirs)} frames, and ours are {len(ours)}"


def refusal(answer: Any) -> object:
    """Keep of an answer to POST /prompt what must be the same."""
    if isinstance(answer, httpx.Response):
        is_json = answer.headers["content-type"].startswith("application/json")
        answer = answer.json() if is_json else answer.text
    if not isinstance(answer, dict):
        return answer
    told = {"error": answer.get("error"), "node_errors": answer["node_errors"]}
    for node in told["node_errors"].values():
        for fault in node["errors"]:
            more = fault["extra_info"]
            more.pop("traceback", None)
            if more.get("input_config"):
                kind, limits = more["input_config"]
                known = {k: v for k, v in limits.items() if k in {"min", "max"}}
                more["input_config"] = [kind, known]
    return told


def kept(entry: Any) -> object:
    """Keep of a history entry what must be the same."""
    said = entry["prompt"]
    return [
        list(entry),
        [said[2], list(said[3]), said[4]],
        re.sub(r"_\d{5}_", "_n_", json.dumps(entry["outputs"])),
        entry["status"]["status_str"],
        entry["status"]["completed"],
        [[name, list(data)] for name, data in entry["status"]["messages"]],
        entry["meta"],
    ]


def schemas(told: Any) -> object:
    """Keep of an `/object_info` answer what must be the same."""
    return {
        name: [
            [key for key in list(schema) if key in COMMON],
            [
                [group, key, spec if group == "hidden" else spec[0]]
                for group, inputs in schema["input"].items()
                for key, spec in inputs.items()
            ],
            schema["input_order"],
            schema["output"],
            schema["output_node"],
        ]
        for name, schema in told.items()
    }


COMMON = [
    "input",
    "input_order",
    "output",
    "output_is_list",
    "output_name",
    "name",
    "display_name",
    "description",
    "python_module",
    "category",
    "output_node",
]
