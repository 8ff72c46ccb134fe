"""Our ComfyUI does what a real one was seen to do, and the trouble it is told to do."""

import contextlib
import json
import struct
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from tests.integration.comfyui.nodes import node
from tests.integration.comfyui.png import size_of, texts_of
from tests.integration.comfyui.server import OUT_OF_MEMORY, ComfyServer
from tests.integration.comfyui.talk import Talk
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

CHECKPOINT = "v1-5-pruned-emaonly-fp16.safetensors"
ABOUT_NODE = (
    "value max state node_id prompt_id display_node_id parent_node_id real_node_id"
)


def plain(
    *,
    color: int = 0,
    prefix: str = "plain",
    width: int = 24,
    height: int = 16,
    **more: Any,
) -> dict[str, Any]:
    """The smallest graph: no model, no sampler."""
    size = {"width": width, "height": height, "batch_size": more.pop("batch", 1)}
    return {
        "1": {"class_type": "EmptyImage", "inputs": {**size, "color": color}},
        "2": {
            "class_type": more.pop("saver", "SaveImage"),
            "inputs": {"images": ["1", 0], "filename_prefix": prefix},
        },
    }


def diffused(*, seed: int = 1, steps: int = 3, **inputs: Any) -> dict[str, Any]:
    """The graph of the documentation: checkpoint, two texts, sampler, file."""
    sampler = {
        "seed": seed,
        "steps": steps,
        "cfg": 7.0,
        "sampler_name": "euler",
        "scheduler": "normal",
        "denoise": 1.0,
        "model": ["4", 0],
        "positive": ["6", 0],
        "negative": ["7", 0],
        "latent_image": ["5", 0],
    }
    size = {"width": inputs.pop("width", 64), "height": 64, "batch_size": 1}
    ckpt = inputs.pop("ckpt_name", CHECKPOINT)
    return {
        "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": ckpt}},
        "5": {"class_type": "EmptyLatentImage", "inputs": size},
        "6": {
            "class_type": "CLIPTextEncode",
            "inputs": {"text": "a lighthouse", "clip": ["4", 1]},
        },
        "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "", "clip": ["4", 1]}},
        "3": {"class_type": "KSampler", "inputs": {**sampler, **inputs}},
        "8": {
            "class_type": "VAEDecode",
            "inputs": {"samples": ["3", 0], "vae": ["4", 2]},
        },
        "9": {
            "class_type": "SaveImage",
            "inputs": {"images": ["8", 0], "filename_prefix": "diffused"},
        },
    }


@pytest.fixture
def server() -> Iterator[ComfyServer]:
    with ComfyServer() as running:
        yield running


@pytest.fixture
def talk(server: ComfyServer) -> Iterator[Talk]:
    with Talk(server) as client:
        client.hear_until("status")
        yield client


def brief(frames: list[Any]) -> list[str]:
    """Say each frame in a word or two."""
    told = []
    for frame in frames:
        if isinstance(frame, bytes):
            told.append(f"binary {struct.unpack('>I', frame[:4])[0]}")
            continue
        kind, said = frame["type"], frame["data"]
        if kind == "status":
            kind += f" {said['status']['exec_info']['queue_remaining']}"
        elif kind == "executing":
            kind += f" {said['node']}"
        elif kind == "progress_state":
            kind += " " + " ".join(
                f"{node}:{about['value']}/{about['max']} {about['state']}"
                for node, about in said["nodes"].items()
            )
        elif kind == "progress":
            kind += f" {said['value']}/{said['max']}"
        elif kind == "execution_cached":
            kind += f" {','.join(said['nodes'])}"
        elif kind == "executed":
            names = [image["filename"] for image in said["output"]["images"]]
            kind += f" {said['node']} {','.join(names)}"
        told.append(kind)
    return told


# A normal run


def test_a_cold_run_sends_every_frame_in_the_recorded_order(talk: Talk) -> None:
    frames = talk.finish(plain())

    assert brief(frames) == [
        "status 1",
        "status 1",
        "execution_start",
        "execution_cached ",
        "progress_state 1:0.0/1.0 running",
        "executing 1",
        "progress_state 1:1.0/1.0 finished",
        "progress_state 1:1.0/1.0 finished 2:0.0/1.0 running",
        "executing 2",
        "executed 2 plain_00001_.png",
        "progress_state 1:1.0/1.0 finished 2:1.0/1.0 finished",
        "execution_success",
        "status 0",
        "executing None",
    ]


def test_every_frame_has_the_recorded_keys_in_their_order(talk: Talk) -> None:
    keys = {
        frame["type"]: " ".join(frame["data"]) for frame in talk.finish(diffused())[:-1]
    }

    assert keys == {
        "status": "status",
        "execution_start": "prompt_id timestamp",
        "execution_cached": "nodes prompt_id timestamp",
        "progress_state": "prompt_id nodes",
        "executing": "node display_node prompt_id",
        "progress": "value max prompt_id node",
        "executed": "node display_node output prompt_id",
        "execution_success": "prompt_id timestamp",
    }


def test_the_last_frame_names_no_node(talk: Talk) -> None:
    prompt_id = talk.draw(plain())

    assert talk.hear_until("end")[-1]["data"] == {"node": None, "prompt_id": prompt_id}


def test_a_node_of_progress_state_says_whose_it_is(talk: Talk) -> None:
    states = [f for f in talk.finish(plain()) if f["type"] == "progress_state"]

    assert " ".join(states[-1]["data"]["nodes"]["2"]) == ABOUT_NODE


def test_a_sampler_tells_each_step_twice(talk: Talk) -> None:
    told = brief(talk.finish(diffused(steps=2)))

    at = told.index("executing 3")
    done = "4:1.0/1.0 finished 5:1.0/1.0 finished 7:1.0/1.0 finished 6:1.0/1.0 finished"
    assert told[at + 1 : at + 7] == [
        f"progress_state {done} 3:1/2 running",
        "progress 1/2",
        f"progress_state {done} 3:2/2 running",
        "progress 2/2",
        f"progress_state {done} 3:2/2 finished",
        f"progress_state {done} 3:2/2 finished 8:0.0/1.0 running",
    ]


def test_nodes_run_in_the_order_in_which_they_were_seen_to(talk: Talk) -> None:
    told = brief(talk.finish(diffused()))

    ran = [word.split()[1] for word in told if word.startswith("executing")]
    assert ran == ["4", "5", "7", "6", "3", "8", "9", "None"]


def test_history_keeps_what_was_asked_and_made(talk: Talk) -> None:
    prompt_id = talk.draw(plain())
    talk.hear_until("end")

    entry = talk.history(prompt_id)[prompt_id]

    assert list(entry) == ["prompt", "outputs", "status", "meta"]
    assert entry["prompt"] == [0, prompt_id, plain(), {"client_id": "me"}, ["2"]]
    assert entry["outputs"] == {
        "2": {
            "images": [
                {"filename": "plain_00001_.png", "subfolder": "", "type": "output"}
            ]
        }
    }
    assert list(entry["status"]) == ["status_str", "completed", "messages"]
    assert [name for name, _ in entry["status"]["messages"]] == [
        "execution_start",
        "execution_cached",
        "execution_success",
    ]
    assert entry["meta"] == {
        "2": {
            "node_id": "2",
            "display_node": "2",
            "parent_node": None,
            "real_node_id": "2",
        }
    }


def test_a_picture_has_the_size_and_the_words_it_was_asked_with(talk: Talk) -> None:
    talk.finish(
        diffused(width=129), extra_data={"extra_pnginfo": {"workflow": {"é": 1}}}
    )

    answer = talk.http.get("/view", params={"filename": "diffused_00001_.png"})

    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["content-disposition"] == 'filename="diffused_00001_.png"'
    assert size_of(answer.content) == (128, 64)
    assert json.loads(texts_of(answer.content)["prompt"]) == diffused(width=129)
    assert texts_of(answer.content)["workflow"] == '{"\\u00e9": 1}'


def test_every_picture_of_a_batch_is_a_file(talk: Talk) -> None:
    told = brief(talk.finish(plain(batch=3)))

    files = "plain_00001_.png,plain_00002_.png,plain_00003_.png"
    assert f"executed 2 {files}" in told


def test_a_preview_is_kept_apart(talk: Talk) -> None:
    frames = talk.finish(plain(saver="PreviewImage"))

    (image,) = next(
        frame["data"]["output"]["images"]
        for frame in frames
        if frame["type"] == "executed"
    )
    assert image["type"] == "temp"
    assert image["filename"].startswith("ComfyUI_temp_")
    assert talk.http.get("/view", params=image).status_code == 200
    assert talk.http.get("/view", params={**image, "type": "output"}).status_code == 404


# The cache


def test_the_same_graph_again_names_the_same_file(talk: Talk) -> None:
    talk.finish(plain())

    assert brief(talk.finish(plain())) == [
        "status 1",
        "status 1",
        "execution_start",
        "execution_cached 1,2",
        "executed 2 plain_00001_.png",
        "progress_state 2:1/1 finished",
        "execution_success",
        "status 0",
        "executing None",
    ]


def test_another_numbering_hits_the_same_cache(talk: Talk) -> None:
    talk.finish(plain())
    other = json.loads(json.dumps(plain()).replace('"1"', '"7"'))

    assert "execution_cached 7,2" in brief(talk.finish(other))


def test_another_prefix_only_saves_again(talk: Talk) -> None:
    talk.finish(plain())

    told = brief(talk.finish(plain(prefix="other")))

    assert "execution_cached 1" in told
    assert "executed 2 other_00001_.png" in told


def test_only_the_last_prompt_is_remembered(talk: Talk) -> None:
    talk.finish(plain(color=1))
    talk.finish(plain(color=2))

    assert "execution_cached " in brief(talk.finish(plain(color=1)))


def test_a_cached_file_that_is_gone_is_named_and_not_found(
    server: ComfyServer, talk: Talk
) -> None:
    talk.finish(plain())
    server.delete_file("plain_00001_.png")

    assert "executed 2 plain_00001_.png" in brief(talk.finish(plain()))
    gone = talk.http.get("/view", params={"filename": "plain_00001_.png"})
    assert gone.status_code == 404


def test_freeing_the_memory_draws_again(talk: Talk) -> None:
    talk.finish(plain())

    freed = talk.http.post("/free", json={"free_memory": True})

    assert (freed.status_code, freed.content) == (200, b"")
    assert "execution_cached " in brief(talk.finish(plain()))


# Refusals


@pytest.mark.parametrize(
    ("graph", "kind", "details"),
    [
        ({"1": {"class_type": "Nope", "inputs": {}}}, "invalid_prompt", "Node ID '#1'"),
        ({"1": {"inputs": {}}}, "invalid_prompt", "Node ID '#1'"),
        ({"nodes": [], "links": []}, "invalid_prompt", "Node ID '#nodes'"),
        ({"1": plain()["1"]}, "prompt_no_outputs", ""),
        ({}, "prompt_no_outputs", ""),
        ([], "prompt_no_outputs", ""),
    ],
)
def test_a_graph_that_is_none_is_refused(
    talk: Talk, graph: object, kind: str, details: str
) -> None:
    answer = talk.ask(graph)

    assert answer.status_code == 400
    assert list(answer.json()) == ["error", "node_errors"]
    assert answer.json()["node_errors"] == {}
    assert list(answer.json()["error"]) == ["type", "message", "details", "extra_info"]
    assert answer.json()["error"]["type"] == kind
    assert answer.json()["error"]["details"] == details


@pytest.mark.parametrize(
    ("graph", "at", "kind", "details"),
    [
        (
            diffused(ckpt_name="x"),
            "4",
            "value_not_in_list",
            "ckpt_name: 'x' not in ['flux1-schnell-fp8.safetensors', ",
        ),
        (
            diffused(sampler_name="x"),
            "3",
            "value_not_in_list",
            "sampler_name: 'x' not in (list of length 42)",
        ),
        (
            diffused(scheduler="x"),
            "3",
            "value_not_in_list",
            "scheduler: 'x' not in ['simple'",
        ),
        (diffused(steps=0), "3", "value_smaller_than_min", "steps"),
        (diffused(steps=10001), "3", "value_bigger_than_max", "steps"),
        (diffused(cfg=101), "3", "value_bigger_than_max", "cfg"),
        (diffused(seed=-1), "3", "value_smaller_than_min", "seed"),
        (diffused(seed=2**64), "3", "value_bigger_than_max", "seed"),
        (diffused(width=16385), "5", "value_bigger_than_max", "width"),
        (plain(width=0), "1", "value_smaller_than_min", "width"),
        (
            {**diffused(), "3": {**diffused()["3"], "inputs": {"seed": 1}}},
            "3",
            "required_input_missing",
            "model",
        ),
        (
            diffused(seed="abc"),
            "3",
            "invalid_input_type",
            "seed, abc, invalid literal for int() with base 10: 'abc'",
        ),
        (
            {**plain(), "2": {**plain()["2"], "inputs": {"filename_prefix": "x"}}},
            "2",
            "required_input_missing",
            "images",
        ),
        (
            diffused(latent_image=["4", 0]),
            "3",
            "return_type_mismatch",
            "latent_image, received_type(MODEL) mismatch input_type(LATENT)",
        ),
        ({"2": plain()["2"]}, "2", "exception_during_validation", "'1'"),
        (
            {
                "1": {"class_type": "LoadImage", "inputs": {"image": "no.png"}},
                "2": plain()["2"],
            },
            "1",
            "custom_validation_failed",
            "image - Invalid image file: no.png",
        ),
    ],
)
def test_a_bad_input_is_refused_at_its_node(
    talk: Talk, graph: Any, at: str, kind: str, details: str
) -> None:
    answer = talk.ask(graph)

    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "prompt_outputs_failed_validation"
    told = answer.json()["node_errors"][at]
    assert list(told) == ["errors", "dependent_outputs", "class_type"]
    assert told["class_type"] == graph[at]["class_type"]
    fault = told["errors"][0]
    assert list(fault) == ["type", "message", "details", "extra_info"]
    assert fault["type"] == kind
    assert fault["details"].startswith(details)


def test_the_choices_there_are_come_with_the_refusal(talk: Talk) -> None:
    fault = talk.ask(diffused(ckpt_name="x")).json()["node_errors"]["4"]["errors"][0]
    many = talk.ask(diffused(sampler_name="x")).json()["node_errors"]["3"]["errors"][0]

    assert CHECKPOINT in fault["extra_info"]["input_config"][0]
    assert fault["extra_info"]["received_value"] == "x"
    assert many["extra_info"]["input_config"] is None


def test_the_details_of_a_fault_above_the_output_are_empty(talk: Talk) -> None:
    above = talk.ask(plain(width=0)).json()["error"]["details"]
    at_it = talk.ask({"2": plain()["2"]}).json()["error"]["details"]

    assert above == ""
    assert at_it == "Exception when validating node: '1'"


def test_a_cycle_is_refused_without_a_word(talk: Talk) -> None:
    turning = {
        "1": {"class_type": "ImageInvert", "inputs": {"image": ["2", 0]}},
        "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
        "3": {
            "class_type": "SaveImage",
            "inputs": {"images": ["1", 0], "filename_prefix": "x"},
        },
    }

    told = talk.ask(turning).json()

    assert told["error"]["type"] == "prompt_outputs_failed_validation"
    assert (told["error"]["details"], told["node_errors"]) == ("", {})


def test_a_bad_output_is_left_out_beside_a_good_one(talk: Talk) -> None:
    bad = plain(width=0)
    graph = {**plain(), "3": bad["1"], "4": {**bad["2"]}}
    graph["4"] = {**bad["2"], "inputs": {**bad["2"]["inputs"], "images": ["3", 0]}}

    answer = talk.ask(graph)
    talk.hear_until("end")

    assert answer.status_code == 200
    assert answer.json()["node_errors"]["3"]["dependent_outputs"] == ["4"]
    entry = talk.history(answer.json()["prompt_id"])
    assert list(entry.popitem()[1]["outputs"]) == ["2"]


def test_a_refused_prompt_uses_up_a_number(talk: Talk) -> None:
    talk.ask({})

    assert talk.ask(plain()).json()["number"] == 1


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/prompt", b""),
        ("/prompt", b"{"),
        ("/prompt", b'{"prompt": null}'),
        ("/prompt", b'{"prompt": [1]}'),
        ("/queue", b""),
        ("/free", b""),
        ("/interrupt", b"[]"),
    ],
)
def test_what_it_cannot_read_is_its_own_trouble(
    talk: Talk, path: str, content: bytes
) -> None:
    answer = talk.http.post(path, content=content)

    assert answer.status_code == 500
    assert answer.text == "500 Internal Server Error\n\nServer got itself in trouble"


def test_no_prompt_is_said_to_be_none(talk: Talk) -> None:
    answer = talk.http.post("/prompt", json={"client_id": "me"})

    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "no_prompt"


# Failures while running


def test_a_node_that_fails_tells_where_and_why(server: ComfyServer, talk: Talk) -> None:
    server.trouble(fails=OUT_OF_MEMORY, fails_at="KSampler", fails_with="OOM")

    frames = talk.finish(diffused())

    assert brief(frames)[-3:] == ["execution_error", "status 0", "executing None"]
    said = frames[-3]["data"]
    assert " ".join(said) == (
        "prompt_id node_id node_type executed exception_message exception_type "
        "traceback current_inputs current_outputs timestamp"
    )
    assert (said["node_id"], said["node_type"]) == ("3", "KSampler")
    assert said["exception_message"] == OUT_OF_MEMORY
    assert "/srv/comfyui" in said["traceback"][0]
    entry = talk.history(said["prompt_id"])[said["prompt_id"]]
    assert entry["status"]["status_str"] == "error"
    assert entry["status"]["completed"] is False
    assert entry["status"]["messages"][-1][0] == "execution_error"


def test_a_string_for_an_image_fails_only_when_it_runs(talk: Talk) -> None:
    graph = plain()
    graph["2"]["inputs"]["images"] = "no link"

    frames = talk.finish(graph)

    assert frames[-3]["data"]["exception_type"] == "AttributeError"


def test_an_interrupt_takes_effect_at_a_step(server: ComfyServer, talk: Talk) -> None:
    server.trouble(pauses=True, at_step=2)
    prompt_id = talk.draw(diffused(steps=5))
    server.wait_until(lambda: server.paused == [prompt_id])

    answer = talk.http.post("/interrupt", json={"prompt_id": prompt_id})
    frames = talk.hear_until("end")

    assert (answer.status_code, answer.content) == (200, b"")
    told = brief(frames)
    assert told[-4:] == [
        "progress 2/5",
        "execution_interrupted",
        "status 0",
        "executing None",
    ]
    assert " ".join(frames[-3]["data"]) == (
        "prompt_id node_id node_type executed timestamp"
    )
    entry = talk.history(prompt_id)[prompt_id]
    assert entry["outputs"] == {}
    assert entry["status"]["status_str"] == "error"
    assert entry["status"]["messages"][-1][0] == "execution_interrupted"


@pytest.mark.parametrize("which", ["pending", "unknown"])
def test_an_interrupt_of_what_does_not_run_does_nothing(
    server: ComfyServer, talk: Talk, which: str
) -> None:
    theirs = server.occupy()
    mine = talk.draw(plain())
    server.wait_until(lambda: server.paused == [theirs])

    answer = talk.http.post(
        "/interrupt", json={"prompt_id": mine if which == "pending" else "zzz"}
    )
    server.resume()
    frames = talk.hear_until("end")

    assert answer.status_code == 200
    assert "execution_success" in brief(frames)
    assert server.prompt(theirs).state == "success"


def test_an_interrupt_while_idle_stops_nothing(talk: Talk) -> None:
    talk.http.post("/interrupt")

    assert "execution_success" in brief(talk.finish(plain()))


# The queue


def test_a_prompt_goes_from_pending_to_running_to_history(
    server: ComfyServer, talk: Talk
) -> None:
    theirs = server.occupy()
    mine = talk.draw(plain())
    server.wait_until(lambda: server.paused == [theirs])

    assert talk.queue() == {"queue_running": [theirs], "queue_pending": [mine]}
    assert talk.http.get("/prompt").json() == {"exec_info": {"queue_remaining": 2}}
    assert talk.history(mine) == {}
    server.resume()
    talk.hear_until("end")
    assert talk.queue() == {"queue_running": [], "queue_pending": []}
    assert list(talk.http.get("/history").json()) == [theirs, mine]
    assert list(talk.http.get("/history?max_items=1").json()) == [mine]


def test_an_item_of_the_queue_has_five_parts(server: ComfyServer, talk: Talk) -> None:
    theirs = server.occupy()
    mine = talk.draw(plain(), extra_data={"api_key_comfy_org": "k"})
    server.wait_until(lambda: server.paused == [theirs])

    (item,) = talk.http.get("/queue").json()["queue_pending"]

    extra = {"api_key_comfy_org": "k", "client_id": "me"}
    assert item == [1, mine, plain(), extra, ["2"]]
    server.resume()
    talk.hear_until("end")
    assert talk.history(mine)[mine]["prompt"][3] == {"client_id": "me"}


def test_front_jumps_the_queue(server: ComfyServer, talk: Talk) -> None:
    theirs = server.occupy()
    server.wait_until(lambda: server.paused == [theirs])
    last = talk.draw(plain(color=1))
    answer = talk.ask(plain(color=2), front=True)

    server.resume()
    talk.hear_until("end", of=last)

    assert answer.json()["number"] == -2
    assert server.ran == [theirs, answer.json()["prompt_id"], last]


@pytest.mark.parametrize("how", ["delete", "clear"])
def test_a_deleted_prompt_is_never_named_again(
    server: ComfyServer, talk: Talk, how: str
) -> None:
    theirs = server.occupy()
    mine = talk.draw(plain())
    server.wait_until(lambda: server.paused == [theirs])
    asked: dict[str, object] = {"delete": [mine, "nope", theirs]}

    answer = talk.http.post("/queue", json=asked if how == "delete" else {how: True})
    server.resume()
    server.wait_until(lambda: server.prompt(theirs).state == "success")
    talk.finish(plain())

    assert (answer.status_code, answer.content) == (200, b"")
    assert server.prompt(mine).state == "deleted"
    assert talk.history(mine) == {}
    assert mine not in server.ran


def test_delete_as_a_method_is_not_known(talk: Talk) -> None:
    assert talk.http.delete("/queue").status_code == 405


def test_an_id_is_whatever_the_client_says(server: ComfyServer, talk: Talk) -> None:
    assert talk.draw(plain(), prompt_id="a/b c") == "a/b c"
    assert talk.draw(plain(), prompt_id=42) == "42"
    assert talk.draw(plain(), prompt_id=None) == "None"
    server.wait_until(lambda: server.prompt("None").state == "success")
    assert list(talk.http.get("/history/a%2Fb%20c").json()) == ["a/b c"]


def test_equal_number_and_id_are_queued_although_the_answer_is_500(
    server: ComfyServer, talk: Talk
) -> None:
    theirs = server.occupy()
    server.wait_until(lambda: server.paused == [theirs])
    talk.draw(plain(color=1), prompt_id="same", number=7)

    answer = talk.ask(plain(color=2), prompt_id="same", number=7)
    server.resume()
    server.wait_until(lambda: server.ran == [theirs, "same", "same"])

    assert answer.status_code == 500


# Who hears what


def test_only_the_owner_hears_of_a_prompt(server: ComfyServer, talk: Talk) -> None:
    with Talk(server, "other") as other:
        talk.finish(plain())

        heard = brief([other.hear() for _ in range(4)])

    assert heard == ["status 0", "status 1", "status 1", "status 0"]


def test_without_a_client_id_progress_is_for_everybody(
    server: ComfyServer, talk: Talk
) -> None:
    talk.client_id = None
    prompt_id = talk.draw(diffused(steps=1))
    server.wait_until(lambda: server.prompt(prompt_id).state == "success")

    kinds = {frame["type"] for frame in heard_so_far(talk)}

    assert kinds == {"status", "progress", "progress_state"}


def test_a_socket_without_an_id_is_given_one(server: ComfyServer) -> None:
    with Talk(server, None) as anonymous:
        anonymous.client_id = anonymous.hear()["data"]["sid"]

        assert "execution_success" in brief(anonymous.finish(plain()))


def test_a_late_socket_hears_where_it_is_without_whose(server: ComfyServer) -> None:
    server.trouble(pauses=True)
    late = Talk(server)
    prompt_id = late.draw(diffused())
    server.wait_until(lambda: server.paused == [prompt_id])

    with late:
        first, second = late.hear(), late.hear()
        server.resume()
        rest = brief(late.hear_until("end"))

    assert first["data"]["sid"] == "me"
    assert second == {"type": "executing", "data": {"node": "3"}}
    assert "execution_start" not in rest


def test_a_socket_goes_deaf_when_an_older_one_of_its_id_closes(
    server: ComfyServer, talk: Talk
) -> None:
    older, newer = talk.ws, talk.open()
    talk.hear_until("status")
    assert older is not None
    assert "execution_success" in brief(talk.finish(plain()))

    older.close()
    server.wait_until(lambda: not server.sockets)
    talk.draw(plain(color=2))
    server.wait_until(lambda: not server.queued and len(server.ran) == 2)

    assert newer.ping().wait(5), "it is open"
    assert heard_so_far(talk) == []


def test_closing_first_and_opening_then_hears_again(
    server: ComfyServer, talk: Talk
) -> None:
    assert talk.ws is not None
    talk.ws.close()
    server.wait_until(lambda: not server.sockets)
    talk.open()

    assert "execution_success" in brief(talk.finish(plain()))


def heard_so_far(talk: Talk) -> list[Any]:
    """Give every frame that was sent before this was asked."""
    assert talk.ws is not None
    assert talk.ws.ping().wait(5)
    heard = []
    with contextlib.suppress(TimeoutError):
        while True:
            heard.append(talk.hear(seconds=0))
    return heard


# Binary frames


def test_previews_are_of_type_1_unless_the_first_message_wants_more() -> None:
    with ComfyServer(previews=True) as server:
        with Talk(server) as old:
            frames = old.finish(diffused(steps=2))
        with Talk(server, "new") as new:
            assert new.ws is not None
            flags = {"supports_preview_metadata": True}
            new.ws.send(json.dumps({"type": "feature_flags", "data": flags}))
            more = new.finish(diffused(steps=2, seed=2))
        with Talk(server, "late") as late:
            assert late.ws is not None
            late.ws.send("{}")
            late.ws.send(json.dumps({"type": "feature_flags", "data": flags}))
            again = late.finish(diffused(steps=2, seed=3))

    told = brief(frames)
    assert told[told.index("progress 1/2") + 1] == "binary 1"
    picture = frames[told.index("binary 1")]
    assert picture[4:12] == bytes.fromhex("00000001ffd8ffe0")
    assert "feature_flags" in brief(more)
    rich = more[brief(more).index("binary 4")]
    (length,) = struct.unpack(">I", rich[4:8])
    assert " ".join(json.loads(rich[8 : 8 + length])) == (
        "node_id prompt_id display_node_id parent_node_id real_node_id image_type"
    )
    assert rich[8 + length :].startswith(b"\xff\xd8\xff")
    assert "binary 1" in brief(again)
    assert "feature_flags" not in brief(again)


def test_pictures_over_the_socket_need_the_custom_node(talk: Talk) -> None:
    graph = plain(saver="SaveImageWebsocket")
    with ComfyServer(custom_nodes=True) as server, Talk(server) as client:
        frames = client.finish(graph)
        entry = client.history(server.ran[0])[server.ran[0]]

    (picture,) = [frame for frame in frames if isinstance(frame, bytes)]
    assert picture[:8] == bytes.fromhex("0000000100000002")
    assert size_of(picture[8:]) == (24, 16)
    assert entry["outputs"] == {}
    assert entry["status"]["status_str"] == "success"
    assert talk.ask(graph).json()["error"]["type"] == "invalid_prompt"


# Files


@pytest.mark.parametrize(
    ("prefix", "filename", "subfolder"),
    [
        ("plain", "plain_00001_.png", ""),
        ("sub/dir/name", "name_00001_.png", "sub/dir"),
        ("sub2/", "sub2_00001_.png", ""),
        ("%width%x%height%", "24x16_00001_.png", ""),
        ("%date:yyyy%", "%date:yyyy%_00001_.png", ""),
        ("%KSampler.seed%", "%KSampler.seed%_00001_.png", ""),
        ("", "._00001_.png", ""),
        ("é漢 \\b", "é漢 \\b_00001_.png", ""),
    ],
)
def test_a_prefix_becomes_a_name(
    talk: Talk, prefix: str, filename: str, subfolder: str
) -> None:
    frames = talk.finish(plain(prefix=prefix))

    (image,) = frames[brief(frames).index("execution_success") - 2]["data"]["output"][
        "images"
    ]
    assert image == {"filename": filename, "subfolder": subfolder, "type": "output"}
    assert talk.http.get("/view", params=image).status_code == 200


@pytest.mark.parametrize(
    ("prefix", "message"),
    [
        ("../x", "Saving image outside the output folder is not allowed"),
        ("/abs/x", "Saving image outside the output folder is not allowed"),
        ("x" * 300, "File name too long: '/srv/comfyui/output/xxx"),
    ],
)
def test_some_prefixes_fail_when_it_saves(
    talk: Talk, prefix: str, message: str
) -> None:
    frames = talk.finish(plain(prefix=prefix))

    assert message in frames[-3]["data"]["exception_message"]


def test_a_folder_in_the_way_fails_the_prompt_and_not_the_worker(
    server: ComfyServer, talk: Talk
) -> None:
    (server.folder / "output" / "taken").write_bytes(b"")

    frames = talk.finish(plain(prefix="taken/x"))

    assert frames[-3]["type"] == "execution_error"
    assert "execution_success" in brief(talk.finish(plain()))


def test_the_counter_goes_up(talk: Talk) -> None:
    talk.finish(plain(color=1))

    assert "executed 2 plain_00002_.png" in brief(talk.finish(plain(color=2)))


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("filename=plain_00001_.png", 200),
        ("filename=plain_00001_.png&type=output&subfolder=", 200),
        ("filename=absent.png", 404),
        ("filename=plain_00001_.png&type=temp", 404),
        ("", 404),
        ("filename=../x.png", 400),
        ("filename=/x.png", 400),
        ("filename=x.png&type=models", 400),
        ("filename=x.png&subfolder=../..", 403),
    ],
)
def test_view_says_what_is_wrong(talk: Talk, query: str, status: int) -> None:
    talk.finish(plain())

    answer = talk.http.get(f"/view?{query}")

    assert answer.status_code == status
    if status != 200:
        assert answer.content == b""


def test_view_knows_ranges_and_tags(talk: Talk) -> None:
    talk.finish(plain())
    where = "/view?filename=plain_00001_.png"

    whole = talk.http.get(where)
    part = talk.http.get(where, headers={"Range": "bytes=0-9"})
    same = talk.http.get(where, headers={"If-None-Match": whole.headers["etag"]})

    assert (part.status_code, part.content) == (206, whole.content[:10])
    assert same.status_code == 304
    assert talk.http.head(where).headers["content-length"] == str(len(whole.content))


def test_an_upload_keeps_its_name_unless_it_is_taken(talk: Talk) -> None:
    def upload(content: bytes, **data: str) -> Any:
        files = {"image": ("up.png", content)}
        return talk.http.post("/upload/image", files=files, data=data).json()

    assert upload(b"1") == {"name": "up.png", "subfolder": "", "type": "input"}
    assert upload(b"1")["name"] == "up.png"
    assert upload(b"2")["name"] == "up (1).png"
    assert upload(b"3", overwrite="true")["name"] == "up.png"
    assert upload(b"4", subfolder="a/b")["subfolder"] == "a/b"


def test_an_upload_can_be_loaded_and_notes_cannot_be_drawn(talk: Talk) -> None:
    talk.finish(plain())
    picture = talk.http.get("/view?filename=plain_00001_.png").content
    for name, content in {"up.png": picture, "notes.txt": b"notes"}.items():
        talk.http.post("/upload/image", files={"image": (name, content)})

    def load(name: str) -> list[Any]:
        graph = plain(saver="PreviewImage")
        graph["1"] = {"class_type": "LoadImage", "inputs": {"image": name}}
        return talk.finish(graph)

    assert "execution_success" in brief(load("up.png"))
    assert load("notes.txt")[-3]["data"]["exception_type"] == (
        "PIL.UnidentifiedImageError"
    )


# Reading


def test_what_there_is_can_be_read(talk: Talk) -> None:
    everything = talk.http.get("/object_info").json()
    one = talk.http.get("/object_info/KSampler").json()
    stats = talk.http.get("/system_stats").json()

    assert one == {"KSampler": everything["KSampler"]}
    assert len(one["KSampler"]["input"]["required"]["sampler_name"][0]) == 42
    assert len(one["KSampler"]["input"]["required"]["scheduler"][0]) == 9
    assert talk.http.get("/object_info/Nope").json() == {}
    assert CHECKPOINT in talk.http.get("/models/checkpoints").json()
    assert talk.http.get("/models/unet").status_code == 404
    assert "diffusion_models" in talk.http.get("/models").json()
    assert stats["system"]["comfyui_version"] == "0.3.64"
    assert set(stats["devices"][0]) >= {"name", "type", "vram_total", "vram_free"}
    assert talk.http.get("/features").json()["supports_preview_metadata"] is True
    assert talk.http.get("/api/jobs").status_code == 404


def test_every_route_exists_twice(server: ComfyServer) -> None:
    with Talk(server) as talk:
        assert talk.ws is not None
        talk.ws.close()
        talk.http.base_url = httpx.URL(server.url + "/api")
        where = server.url.replace("http", "ws", 1) + "/api/ws?clientId=me"
        with connect(where) as talk.ws:
            assert "execution_success" in brief(talk.finish(plain()))
    assert server.count("POST", "/prompt") == 1
    assert server.requests[-1].raw_path == "/api/prompt"


def test_a_browser_from_elsewhere_is_kept_out(server: ComfyServer, talk: Talk) -> None:
    def status(origin: str) -> int:
        return talk.http.get("/queue", headers={"Origin": origin}).status_code

    assert status("http://evil.example") == 403
    assert status(server.url.replace("127.0.0.1", "localhost")) == 403
    assert status(server.url) == 200


# Other servers


def test_it_can_lack_models_and_nodes() -> None:
    with (
        ComfyServer(models={"checkpoints": []}, without_nodes={"VAEDecode"}) as server,
        Talk(server) as talk,
    ):
        assert talk.http.get("/models/checkpoints").json() == []
        assert talk.ask(diffused()).json()["error"]["message"] == (
            "Cannot execute because node VAEDecode does not exist."
        )


def test_it_can_have_nodes_of_somebody_else() -> None:
    mirror = node("Mirror", {"image": ["IMAGE"]}, "IMAGE")
    graph = plain()
    graph["3"] = {"class_type": "Mirror", "inputs": {"image": ["1", 0]}}
    graph["2"]["inputs"]["images"] = ["3", 0]

    with ComfyServer(more_nodes={"Mirror": mirror}) as server, Talk(server) as talk:
        talk.finish(graph)
        drawn = talk.http.get("/view?filename=plain_00001_.png").content

    assert size_of(drawn) == (24, 16)


def test_it_can_live_below_a_path() -> None:
    with ComfyServer(prefix="/comfy/") as server, Talk(server) as talk:
        assert server.url.endswith("/comfy")
        assert "execution_success" in brief(talk.finish(plain()))
        root = server.url.removesuffix("/comfy")
        assert httpx.get(f"{root}/queue").status_code == 404


def test_it_can_ask_for_a_token() -> None:
    with ComfyServer(token="s3cret") as server:
        assert httpx.get(f"{server.url}/queue").status_code == 401
        with pytest.raises(InvalidStatus):
            Talk(server).open()
        for headers in ({"Authorization": "Bearer s3cret"}, {"X-API-Key": "s3cret"}):
            answer = httpx.get(f"{server.url}/queue", headers=headers)
            assert answer.status_code == 200


def test_a_newer_one_wants_uuids_and_each_only_once() -> None:
    with ComfyServer(newer=True) as server, Talk(server) as talk:
        mine = str(uuid.uuid4())

        assert talk.ask(plain(), prompt_id="mine").status_code == 400
        assert talk.ask(plain(), prompt_id=mine.upper()).json()["error"]["type"] == (
            "invalid_prompt_id"
        )
        talk.finish(plain(), prompt_id=mine)
        again = talk.ask(plain(), prompt_id=mine)
        assert again.status_code == 409
        assert again.json() == {"error": "prompt_id already exists"}
        assert talk.http.get(f"/api/jobs/{mine}").json()["status"] == "completed"
        assert [job["id"] for job in talk.http.get("/api/jobs").json()["jobs"]] == [
            mine
        ]
        assert talk.http.get("/api/jobs/none").status_code == 404
        cancelled = talk.http.post(f"/api/jobs/{mine}/cancel")
        assert cancelled.json() == {"cancelled": False}
        assert "EmptyFlux2LatentImage" in talk.http.get("/object_info").json()


def test_an_older_one_gives_its_own_ids() -> None:
    with ComfyServer(ignores_prompt_id=True) as server, Talk(server) as talk:
        assert talk.draw(plain(), prompt_id="mine") != "mine"


def test_it_can_greet_with_another_name_or_not_at_all() -> None:
    with ComfyServer(sid="renamed") as server, Talk(server) as talk:
        assert talk.hear()["data"]["sid"] == "renamed"
        talk.client_id = "renamed"
        assert "execution_success" in brief(talk.finish(plain()))
    with ComfyServer(greets=False) as server, Talk(server) as talk:
        assert brief(talk.finish(plain()))[0] == "status 1"


def test_a_picture_can_lie_on_another_host_that_refuses_the_key() -> None:
    with ComfyServer(token="k", redirects_view=True) as server:
        key = {"X-API-Key": "k"}
        with httpx.Client(base_url=server.url, headers=key) as http:
            http.post("/prompt", json={"prompt": plain()})
            server.wait_until(lambda: not server.queued and server.ran)
            answer = http.get("/view?filename=plain_00001_.png")
        there = answer.headers["location"]

        assert answer.status_code == 302
        assert httpx.get(there, headers=key).status_code == 400
        assert size_of(httpx.get(there).content) == (24, 16)


def test_two_clients_are_served_one_after_the_other(server: ComfyServer) -> None:
    with Talk(server, "one") as one, Talk(server, "two") as two:
        first, second = one.draw(diffused()), two.draw(diffused(seed=2))

        heard = [one.hear_until("end"), two.hear_until("end")]

    assert server.ran == [first, second]
    for frames, mine in zip(heard, (first, second), strict=True):
        named = {frame["data"].get("prompt_id") for frame in frames}
        assert named == {None, mine}


# Trouble with the answer to POST /prompt


def test_it_can_answer_500_and_run_it_all_the_same(
    server: ComfyServer, talk: Talk
) -> None:
    server.trouble(accepts_then="500", times=1)

    answer = talk.ask(plain(), prompt_id="mine")
    frames = talk.hear_until("end")

    assert answer.status_code == 500
    assert "execution_success" in brief(frames)
    assert server.ran == ["mine"]
    assert talk.ask(plain(color=2)).status_code == 200


def test_it_can_drop_the_connection_after_accepting(
    server: ComfyServer, talk: Talk
) -> None:
    server.trouble(accepts_then="drop", times=1)

    with pytest.raises(httpx.TransportError):
        talk.ask(plain(), prompt_id="mine")

    talk.hear_until("end")
    assert server.ran == ["mine"]


def test_it_can_refuse_before_accepting(server: ComfyServer, talk: Talk) -> None:
    server.trouble(refuses_with=500, times=1)
    server.trouble(refuses_with=502, times=1)

    # Both orders hold for the first prompt; the later one names the status.
    proxy = talk.ask(plain())

    assert proxy.status_code == 502
    assert proxy.headers["content-type"].startswith("text/html")
    assert server.prompts == []
    assert talk.ask(plain()).status_code == 200


def test_it_can_drop_before_accepting(server: ComfyServer, talk: Talk) -> None:
    server.trouble(drops_before_accepting=True)

    with pytest.raises(httpx.TransportError):
        talk.ask(plain())

    assert server.prompts == []
    assert server.requests[-1].status is None


def test_the_frames_can_come_before_the_answer(server: ComfyServer, talk: Talk) -> None:
    server.trouble(frames_before_answer=True)
    answers: list[httpx.Response] = []
    asking = threading.Thread(target=lambda: answers.append(talk.ask(plain())))

    asking.start()
    frames = talk.hear_until("end")
    early = list(answers)
    asking.join()

    assert early == []
    assert answers[0].json()["prompt_id"] == frames[-1]["data"]["prompt_id"]


def test_it_can_answer_200_with_node_errors(server: ComfyServer, talk: Talk) -> None:
    server.trouble(node_errors={"1": {"errors": [], "dependent_outputs": ["2"]}})

    assert list(talk.ask(plain()).json()["node_errors"]) == ["1"]


# Trouble while it runs


def test_it_can_accept_and_never_run(server: ComfyServer, talk: Talk) -> None:
    server.trouble(never_runs=True)

    mine = talk.draw(plain())

    assert talk.queue() == {"queue_running": [], "queue_pending": [mine]}
    assert server.ran == []


def test_somebody_can_delete_it(server: ComfyServer, talk: Talk) -> None:
    server.trouble(deleted_by_another=True)

    mine = talk.draw(plain())
    heard = brief([talk.hear(), talk.hear()])

    assert heard == ["status 1", "status 0"]
    assert (talk.queue()["queue_pending"], talk.history(mine)) == ([], {})


def test_somebody_can_interrupt_it(server: ComfyServer, talk: Talk) -> None:
    server.trouble(interrupted_by_another=True, at_step=2)

    told = brief(talk.finish(diffused()))

    assert told[-4:-2] == ["progress 2/3", "execution_interrupted"]


def test_it_can_fail_at_a_step_with_a_very_long_frame(
    server: ComfyServer, talk: Talk
) -> None:
    server.trouble(fails="It broke.\n", at_step=2, huge_frames=2_000_000)

    frames = talk.finish(diffused())

    assert brief(frames)[-4] == "progress 2/3"
    assert len(json.dumps(frames[-3])) > 2_000_000


def test_it_can_die_in_mid_run_and_come_back_empty(
    server: ComfyServer, talk: Talk
) -> None:
    talk.finish(plain())
    server.trouble(restarts=0.05, times=1)

    mine = talk.draw(diffused())
    with pytest.raises(ConnectionClosed) as closed:
        talk.hear_until("end", of=mine)
    server.wait_until(lambda: server.prompt(mine).state == "lost")
    server.wait_until(lambda: server.up)

    assert closed.value.rcvd is None, "1006: no close frame"
    assert talk.history(mine) == {}
    assert talk.queue() == {"queue_running": [], "queue_pending": []}
    assert talk.http.get("/view?filename=plain_00001_.png").status_code == 200
    talk.open()
    assert talk.ask(plain()).json()["number"] == 0
    assert "execution_cached " in brief(talk.hear_until("end"))


def test_it_can_be_away_for_as_long_as_a_test_likes(
    server: ComfyServer, talk: Talk
) -> None:
    talk.finish(plain(saver="PreviewImage"))
    (name,) = (path.name for path in (server.folder / "temp").iterdir())

    server.kill()
    with pytest.raises(httpx.ConnectError):
        talk.http.get("/queue")
    server.come_back()

    assert talk.queue() == {"queue_running": [], "queue_pending": []}
    assert talk.http.get(f"/view?type=temp&filename={name}").status_code == 404


# Trouble with the frames


def test_frames_can_be_late_while_the_run_is_not(
    server: ComfyServer, talk: Talk
) -> None:
    server.trouble(late_frames=0.15)

    mine = talk.draw(plain())
    server.wait_until(lambda: server.prompt(mine).state == "success")
    done = time.monotonic()
    talk.hear_until("end")

    assert time.monotonic() - done > 0.1


def test_frames_can_be_lost(server: ComfyServer, talk: Talk) -> None:
    server.trouble(loses_frames={"executing", "executed"}, times=1)
    mine = talk.draw(plain())
    server.wait_until(lambda: server.prompt(mine).state == "success")
    some = {frame["type"] for frame in heard_so_far(talk)}
    server.trouble(loses_frames={"*"}, times=1)
    mine = talk.draw(plain())
    server.wait_until(lambda: server.prompt(mine).state == "success")
    none = {frame["type"] for frame in heard_so_far(talk)}

    assert "execution_success" in some
    assert not some & {"executing", "executed"}
    assert none == {"status"}


@pytest.mark.parametrize("how", ["clean", "abort"])
def test_the_socket_can_be_dropped_in_mid_run(
    server: ComfyServer, talk: Talk, how: str
) -> None:
    server.trouble(drops_socket=how, at_step=2)

    mine = talk.draw(diffused())
    with pytest.raises(ConnectionClosed) as closed:
        talk.hear_until("end")
    server.wait_until(lambda: server.prompt(mine).state == "success")

    assert (closed.value.rcvd is None) is (how == "abort")


def test_a_reconnected_socket_can_be_deaf(server: ComfyServer, talk: Talk) -> None:
    server.trouble(drops_socket="abort", deaf_after_reconnect=True, times=1)
    talk.draw(diffused())
    with pytest.raises(ConnectionClosed):
        talk.hear_until("end")

    talk.open()
    greeting = brief(talk.hear_until("status"))
    later = talk.draw(plain())
    server.wait_until(lambda: server.prompt(later).state == "success")
    heard = brief(heard_so_far(talk))

    assert greeting[0].startswith("status")
    assert not [word for word in heard if not word.startswith("executing")]


def test_a_socket_can_go_deaf_at_a_step(server: ComfyServer, talk: Talk) -> None:
    server.trouble(deaf=True, at_step=2)

    mine = talk.draw(diffused())
    server.wait_until(lambda: server.prompt(mine).state == "success")

    assert brief(heard_so_far(talk))[-1] == "progress 2/3"


def test_frames_can_be_larger_than_a_mebibyte(server: ComfyServer, talk: Talk) -> None:
    server.trouble(huge_frames=2**20)

    frames = talk.finish(plain())

    assert max(len(json.dumps(frame)) for frame in frames) > 2**20


# Trouble afterwards


def test_the_history_can_be_empty_at_success(server: ComfyServer, talk: Talk) -> None:
    server.trouble(history_late=0.1)

    mine = talk.draw(plain())
    talk.hear_until("execution_success")
    queue, early = talk.queue(), talk.history(mine)
    talk.hear_until("end")

    assert early == {}
    assert queue["queue_running"] == [mine], "in neither is never true"
    assert mine in talk.history(mine)


def test_the_history_can_be_wiped_by_somebody(server: ComfyServer, talk: Talk) -> None:
    server.trouble(history_wiped=True)

    mine = talk.draw(plain())
    talk.hear_until("end")

    assert talk.history(mine) == {}


def test_a_file_can_be_gone_before_it_is_fetched(
    server: ComfyServer, talk: Talk
) -> None:
    server.trouble(files_deleted=True)

    talk.finish(plain())

    assert talk.http.get("/view?filename=plain_00001_.png").status_code == 404


# Trouble with requests


def test_a_proxy_can_answer_in_html_twice(server: ComfyServer, talk: Talk) -> None:
    server.spoil("/queue", status=502, times=2)

    answers = [talk.http.get("/queue") for _ in range(3)]

    assert [answer.status_code for answer in answers] == [502, 502, 200]
    assert answers[0].text.startswith("<html>")


def test_an_answer_can_be_slow(server: ComfyServer, talk: Talk) -> None:
    server.spoil("/queue", late=0.1, times=1)
    begun = time.monotonic()

    talk.http.get("/queue")

    assert time.monotonic() - begun > 0.09


def test_a_connection_can_be_cut(server: ComfyServer, talk: Talk) -> None:
    server.spoil("/history", drops=True, times=1)

    with pytest.raises(httpx.TransportError):
        talk.http.get("/history/x")

    assert talk.history("x") == {}


def test_a_socket_can_be_refused(server: ComfyServer) -> None:
    server.spoil("/ws", status=503, times=1)

    with pytest.raises(InvalidStatus):
        Talk(server).open()


def test_calm_takes_back_what_did_not_happen_yet(
    server: ComfyServer, talk: Talk
) -> None:
    server.spoil("/queue", status=500)
    server.trouble(refuses_with=500)

    server.calm()

    assert talk.http.get("/queue").status_code == 200
    assert talk.ask(plain()).status_code == 200


@pytest.mark.parametrize("trouble", [{"cut": "short"}, {"wrong_length": 7}])
def test_a_file_can_end_before_it_said_it_would(
    server: ComfyServer, talk: Talk, trouble: Any
) -> None:
    talk.finish(plain())
    server.spoil("/view", times=1, **trouble)

    with pytest.raises(httpx.RemoteProtocolError):
        talk.http.get("/view?filename=plain_00001_.png")

    assert talk.http.get("/view?filename=plain_00001_.png").status_code == 200


@pytest.mark.parametrize("cut", ["silent", "empty"])
def test_a_file_can_be_cut_without_a_sign(
    server: ComfyServer, talk: Talk, cut: Any
) -> None:
    talk.finish(plain())
    server.spoil("/view", cut=cut, times=1)

    part = talk.http.get("/view?filename=plain_00001_.png")
    whole = talk.http.get("/view?filename=plain_00001_.png")

    assert (part.status_code, whole.status_code) == (200, 200)
    assert len(part.content) < len(whole.content)
    assert server.served == ["plain_00001_.png"]


def test_the_network_can_be_slow(server: ComfyServer, talk: Talk) -> None:
    talk.finish(plain())
    whole = talk.http.get("/view?filename=plain_00001_.png").content
    server.spoil("/view", bytes_per_second=len(whole) * 8)
    begun = time.monotonic()

    slow = talk.http.get("/view?filename=plain_00001_.png").content

    assert slow == whole
    assert time.monotonic() - begun > 0.1


# The server itself


def test_it_counts_what_it_was_asked(server: ComfyServer, talk: Talk) -> None:
    mine = talk.draw(plain())
    talk.hear_until("end")
    talk.http.get("/api/view?filename=plain_00001_.png")

    assert server.count("POST", "/prompt") == 1
    assert server.asked("POST", "/prompt")[0].json["client_id"] == "me"
    assert server.ran == [mine]
    assert server.served == ["plain_00001_.png"]
    assert server.sockets_opened == ["me"]
    assert server.frames[-1].data == {"node": None, "prompt_id": mine}


def test_it_leaves_no_thread_and_no_file_behind() -> None:
    before = threading.active_count()
    with ComfyServer() as server, Talk(server) as talk:
        server.trouble(pauses=True)
        mine = talk.draw(diffused())
        server.wait_until(lambda: server.paused == [mine])
        folder = server.folder

    assert threading.active_count() <= before
    assert not folder.exists()


def test_it_ends_at_once_although_an_answer_hangs(server: ComfyServer) -> None:
    server.trouble(accepts_then="hang")
    talk = Talk(server)
    ended = threading.Event()

    def ask() -> None:
        with contextlib.suppress(httpx.TransportError):
            talk.ask(plain())
        ended.set()

    threading.Thread(target=ask).start()
    server.wait_until(lambda: server.ran)
    server.stop()

    assert ended.wait(5)
    talk.http.close()
