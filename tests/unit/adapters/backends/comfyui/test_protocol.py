import json
from struct import pack
from typing import Any

import pytest

from imagen.adapters.backends.comfyui.errors import (
    display_node_name,
    explain_failure,
    explain_node_errors,
    explain_refusal,
    remove_paths,
)
from imagen.adapters.backends.comfyui.history import (
    PromptState,
    QueuePosition,
    find_prompts,
    find_queue_position,
    parse_history,
)
from imagen.adapters.backends.comfyui.protocol import (
    ErrorData,
    Frame,
    OutputFile,
    PromptMessage,
    Status,
    extract_files,
    parse_message,
    parse_preview,
)

MINE, THEIRS = "mine-1", "theirs-2"
GRAPH = {
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {}},
    "9": {"class_type": "SaveImage", "inputs": {}, "_meta": {"title": "Keep"}},
}


def frame(kind: str, **data: object) -> Frame:
    read = parse_message(json.dumps({"type": kind, "data": data}))
    assert read is not None
    return read


def told(*frames: Frame) -> PromptState:
    state = PromptState(MINE)
    for each in frames:
        state.apply(each)
    return state


# Frames


def test_reads_the_first_status() -> None:
    text = (
        '{"type":"status","data":{"status":{"exec_info":{"queue_remaining":2}},'
        '"sid":"C"}}'
    )

    read = parse_message(text)

    assert isinstance(read, Status)
    assert read.data.sid == "C"
    assert read.data.status.exec_info.queue_remaining == 2


@pytest.mark.parametrize(
    "text",
    ["", "nope", "[]", "{}", '{"type":"crystools.monitor","data":{}}', "\udcff"],
)
def test_passes_over_what_it_does_not_know(text: str) -> None:
    assert parse_message(text) is None


def test_reads_both_kinds_of_preview() -> None:
    about = b'{"prompt_id":"p","node_id":"3","image_type":"image/png"}'

    plain = parse_preview(pack(">II", 1, 1) + b"jpeg")
    named = parse_preview(pack(">II", 4, len(about)) + about + b"png")

    assert plain is not None
    assert (plain.content, plain.media_type, plain.prompt_id) == (
        *(b"jpeg", "image/jpeg"),
        None,
    )
    assert named is not None
    assert (named.content, named.media_type, named.prompt_id, named.node) == (
        *(b"png", "image/png"),
        *("p", "3"),
    )


@pytest.mark.parametrize(
    "content",
    [b"", b"\0\0\0\1", pack(">II", 3, 1) + b"4text", pack(">II", 4, 99) + b"{}"],
)
def test_finds_no_picture_in_other_binary_frames(content: bytes) -> None:
    assert parse_preview(content) is None


# Prompt state


def test_a_success_is_over_at_the_last_frame_only() -> None:
    state = told(
        frame("execution_start", prompt_id=MINE),
        frame("progress", prompt_id=MINE, node="3", value=2, max=4),
        frame(
            "executed",
            prompt_id=MINE,
            node="9",
            output={"images": [{"filename": "a.png", "subfolder": "", "type": "temp"}]},
        ),
        frame("execution_success", prompt_id=MINE),
    )
    assert not state.finished
    assert state.step == (2, 4)

    state.apply(frame("executing", prompt_id=MINE, node=None))

    assert state.finished
    assert state.outcome == "success"
    assert state.files == {"9": (OutputFile("a.png", "", "temp"),)}


def test_other_prompts_are_no_part_of_it() -> None:
    state = told(
        frame("executing", prompt_id=THEIRS, node=None),
        frame("executing", node=None),
        frame("execution_error", prompt_id=THEIRS, node_id="3"),
    )

    assert not state.started
    assert not state.finished
    assert state.outcome is None


def test_a_step_stays_within_its_bounds() -> None:
    over = told(frame("progress", prompt_id=MINE, node="3", value=9, max=4))
    none = told(frame("progress", prompt_id=MINE, node="3", value=0, max=0))

    assert over.step == (4, 4)
    assert none.step is None


@pytest.mark.parametrize(
    "output", [None, [], {"images": None}, {"images": ["a.png", 3]}, {"text": ["a"]}]
)
def test_finds_no_files_where_there_are_none(output: object) -> None:
    assert extract_files(output) == ()


# Answers


def item(number: float, prompt_id: str) -> list[object]:
    return [number, prompt_id, {"1": {"class_type": "X"}}, {}, ["9"]]


def test_numbers_that_json_does_not_have_hide_no_prompt() -> None:
    graph = {"1": {"class_type": "X", "inputs": {"x": float("nan")}}}
    queued = [[0, "a", graph, {}, []], [1, "b", graph, {}, []]]
    queue = json.dumps({"queue_running": queued[:1], "queue_pending": queued[1:]})
    finished = json.dumps({"c": {"prompt": [2, "c", graph, {}, []]}})

    found = find_prompts(queue.encode(), finished.encode(), graph, since=0)

    assert found == ("a", "b", "c")
    assert find_queue_position(queue.encode(), "b") == QueuePosition(False, ahead=1)
    assert parse_history(finished.encode(), "c") is not None


def test_numbers_that_json_does_not_have_hide_no_message() -> None:
    data = {"prompt_id": MINE, "current_inputs": {"x": [float("inf")]}}

    read = parse_message(json.dumps({"type": "execution_error", "data": data}))

    assert isinstance(read, PromptMessage)
    assert read.data.prompt_id == MINE


def test_finds_a_prompt_in_the_queue() -> None:
    queue = json.dumps(
        {
            "queue_running": [item(1, "a")],
            "queue_pending": [item(7, "c"), item(-2, "front"), item(3, "b")],
        }
    ).encode()

    assert find_queue_position(queue, "a") == QueuePosition(running=True)
    assert find_queue_position(queue, "front") == QueuePosition(running=False, ahead=1)
    assert find_queue_position(queue, "c") == QueuePosition(running=False, ahead=3)
    assert find_queue_position(queue, "none") is None


def test_a_page_is_no_queue() -> None:
    with pytest.raises(ValueError, match="Expecting value"):
        find_queue_position(b"<html>", MINE)


def history(status: dict[str, Any] | None, **outputs: object) -> bytes:
    return json.dumps({MINE: {"outputs": outputs, "status": status}}).encode()


def test_only_the_last_message_tells_an_interruption_from_an_error() -> None:
    status = {"status_str": "error", "completed": False}
    stopped = ["execution_interrupted", {"node_id": "3", "node_type": "KSampler"}]
    failed = ["execution_error", {"node_id": "3", "exception_message": "no\n"}]
    start = ["execution_start", {"prompt_id": MINE}]

    entries = [
        parse_history(history({**status, "messages": [start, last]}), MINE)
        for last in (stopped, failed)
    ]

    assert [entry and entry.outcome for entry in entries] == ["interrupted", "error"]
    assert entries[1] is not None
    assert entries[1].error.exception_message == "no\n"


def test_an_entry_without_a_status_went_well() -> None:
    entry = parse_history(history(None, **{"9": {"images": []}}), MINE)

    assert entry is not None
    assert entry.outcome == "success"


def test_nothing_is_remembered_of_others() -> None:
    assert parse_history(history(None), THEIRS) is None
    assert parse_history(b"{}", MINE) is None


# Refusals


def refused(fault: dict[str, object], *, node: str = "4", kind: str = "K") -> str:
    answer = {
        "error": {"type": "prompt_outputs_failed_validation", "message": "x"},
        "node_errors": {
            node: {"errors": [fault], "dependent_outputs": ["9"], "class_type": kind}
        },
    }
    return explain_refusal(json.dumps(answer).encode(), GRAPH)


def test_lists_what_a_newer_server_has() -> None:
    said = refused(
        {
            "type": "value_not_in_list",
            "message": "Value not in list",
            "details": "",
            "extra_info": {
                "input_name": "ckpt_name",
                "received_value": "x",
                "input_config": ["COMBO", {"options": ["a", "b"]}],
            },
        }
    )

    assert said == "K (node 4): ckpt_name: 'x' is not on this server; it has: a, b."


@pytest.mark.parametrize(
    ("config", "end"),
    [
        ([[], {}], "it has none."),
        (None, "is not on this server."),
        ([[f"{n}.ckpt" for n in range(14)], {}], "11.ckpt and 2 more."),
    ],
)
def test_says_how_many_choices_there_are(config: object, end: str) -> None:
    said = refused(
        {
            "type": "value_not_in_list",
            "extra_info": {
                "input_name": "ckpt_name",
                "received_value": "x",
                "input_config": config,
            },
        }
    )

    assert said.endswith(end)


def test_an_unknown_fault_is_told_in_the_words_of_the_server() -> None:
    said = refused(
        {
            "type": "moon_phase",
            "message": "Wrong moon",
            "extra_info": {"input_name": "tide"},
        }
    )

    assert said == "K (node 4): tide: Wrong moon."


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"<html>", "The server does not say why."),
        (b"{}", "The server does not say why."),
        (b'{"error": "prompt_id already exists"}', "prompt_id already exists."),
        (
            b'{"error": {"type": "invalid_prompt", "message": "Node X does not exist.",'
            b' "details": "Node ID \'#9\'"}, "node_errors": {}}',
            "'Keep' (SaveImage, node 9): Node X does not exist.",
        ),
        (
            b'{"error": {"type": "t", "message": "m"}, "node_errors": [1]}',
            "The server reported node errors in an unknown format.",
        ),
    ],
)
def test_makes_the_best_of_a_refusal_that_blames_no_node(
    answer: bytes, said: str
) -> None:
    assert explain_refusal(answer, GRAPH) == said


def test_looks_only_at_what_is_in_the_way_of_an_output() -> None:
    errors = {
        "4": {
            "errors": [{"type": "t", "message": "m"}],
            "dependent_outputs": ["7"],
            "class_type": "K",
        }
    }

    assert explain_node_errors(errors, GRAPH, outputs=["9"]) == {}
    assert list(explain_node_errors(errors, GRAPH, outputs=["7"])) == ["4"]


def test_calls_nodes_as_people_do() -> None:
    assert display_node_name(GRAPH, "9") == "'Keep' (SaveImage, node 9)"
    assert display_node_name(GRAPH, "4") == "CheckpointLoaderSimple (node 4)"
    assert display_node_name(GRAPH, "?") == "node ?"


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("no such file: /srv/comfy/models/x.pt", "no such file: x.pt"),
        ("[Errno 2] '/srv/a b/c.png'", "[Errno 2] 'a b/c.png'"),
        (r"C:\Users\me\x.pt is broken", "x.pt is broken"),
        ("one\n two\n", "one two"),
        ("1/2 of it", "1/2 of it"),
    ],
)
def test_leaves_folders_out(words: str, shown: str) -> None:
    assert remove_paths(words) == shown


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("torch.OutOfMemoryError", "Allocation on device 0 would exceed"),
        ("RuntimeError", "CUDA out of memory. Tried to allocate"),
        ("MemoryError", ""),
    ],
)
def test_knows_when_memory_ran_out(kind: str, message: str) -> None:
    trouble = ErrorData(
        node_id="4",
        node_type="KSampler",
        exception_type=kind,
        exception_message=message,
    )

    assert (
        explain_failure(trouble, GRAPH).message
        == "KSampler (node 4) ran out of memory."
    )


def test_a_failure_without_words_is_told_all_the_same() -> None:
    error = explain_failure(ErrorData(), GRAPH)

    assert error.message == "node ? failed without an error message."
