"""ComfyUI as it was seen to be: refusals, failures and races, on a socket."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from pathlib import Path
from threading import Thread
from typing import Any

import msgspec
import pytest
from tests.integration.comfyui.server import (
    OUT_OF_MEMORY,
    OUT_OF_MEMORY_TYPE,
    ComfyServer,
)
from tests.integration.tls import load_certificate, make_certificate
from tests.nightly import examples, some_by_day
from tests.unit.adapters.backends.comfyui.graphs import load_workflow

from imagen.adapters.backends.comfyui.adapter import ComfyOptions, create
from imagen.adapters.backends.comfyui.filling import fill_workflow
from imagen.adapters.backends.comfyui.vendor import ComfyUI
from imagen.adapters.remote.backend import remote_backend
from imagen.adapters.remote.cancellation import CANCEL_POLL_INTERVAL
from imagen.adapters.remote.requests import CANCEL_TIMEOUT
from imagen.adapters.remote.vendor import HttpRequest
from imagen.adapters.remote.vendor_client import READ_TIMEOUT
from imagen.adapters.system.clock import SystemClock
from imagen.domain.call import classify_failure
from imagen.domain.errors import (
    BackendError,
    Cancelled,
    InvalidRequest,
    Misconfigured,
    Refused,
    Unauthorized,
    Unavailable,
    Unfinished,
)
from imagen.domain.job import ImageJob
from imagen.domain.result import Generated
from imagen.domain.size import Size
from imagen.formats.container import read_facts
from imagen.ports.adapter import BackendContext, Secrets
from imagen.ports.backend import CheckableBackend, ImageBackend
from imagen.ports.clock import Clock
from imagen.testing.fakes import FakeClock, RecordingContext, StoppableContext

AT_ONCE = 8
REPETITIONS = examples(AT_ONCE, nightly=40)
TOO_LONG = 60.0
JOB = ImageJob(number=1, prompt="a cat", size=Size(64, 64), seed=1, steps=3, timeout=60)

Graph = dict[str, dict[str, Any]]


class FastClock(SystemClock):
    """A clock on which the seconds until a poll pass twenty times as fast."""

    def monotonic(self) -> float:
        return 20 * super().monotonic()


@pytest.fixture(scope="module")
def shared_server() -> Iterator[ComfyServer]:
    with ComfyServer() as server:
        yield server


@pytest.fixture
def server(shared_server: ComfyServer) -> Iterator[ComfyServer]:
    yield shared_server
    shared_server.reset()


@pytest.fixture
def own_server() -> Iterator[ComfyServer]:
    """A server that no other test uses, for calls that are still open at the end."""
    with ComfyServer() as server:
        yield server


@pytest.fixture
def build() -> Iterator[Callable[..., ImageBackend]]:
    built: list[ImageBackend] = []

    def build_one(
        server: ComfyServer | str,
        *,
        secrets: Mapping[str, str] | None = None,
        clock: Clock | None = None,
        **options: Any,
    ) -> ImageBackend:
        url = server if isinstance(server, str) else server.url
        chosen = ComfyOptions(**{"base_url": url, "workflow": "sd15", **options})
        context = BackendContext(
            name="comfy", clock=clock or SystemClock(), secrets=Secrets(secrets)
        )
        built.append(create(chosen, context))
        return built[-1]

    yield build_one
    for backend in built:
        backend.close()


@pytest.fixture
def backend(build: Callable[..., ImageBackend], server: ComfyServer) -> ImageBackend:
    return build(server)


class Verbatim(ComfyUI):
    """ComfyUI with a graph that is handed in as it is."""

    graph: Graph

    def submit(self, job: ImageJob, key: str) -> HttpRequest:
        request = super().submit(job, key)
        body = msgspec.json.decode(request.content or b"")
        self._graph = self.graph
        content = msgspec.json.encode({**body, "prompt": self.graph})
        return msgspec.structs.replace(request, content=content)


@pytest.fixture
def keep(server: ComfyServer) -> Iterator[Callable[..., object]]:
    """Hand in a graph as it is, and return the files."""
    built: list[ImageBackend] = []

    def keep_one(graph: Graph, *, outputs: tuple[str, ...] = ("save",)) -> object:
        workflow = load_workflow("sd15")
        bindings = msgspec.structs.replace(workflow.bindings, output=outputs)
        vendor = Verbatim(
            msgspec.structs.replace(workflow, bindings=bindings),
            instance="comfy",
            url=server.url,
            prefix="test",
            free=True,
            extras=False,
            clock=SystemClock(),
        )
        vendor.graph = graph
        context = BackendContext(name="comfy", clock=SystemClock())
        built.append(
            remote_backend(vendor, context, base_url=server.url, credentials={})
        )
        return built[-1].generate(JOB, StoppableContext())

    yield keep_one
    for backend in built:
        backend.close()


def sd15(**inputs: Mapping[str, object]) -> Graph:
    """Return a graph that works, but for the inputs that are named by their node."""
    graph = fill_workflow(load_workflow("sd15"), JOB, prefix="test")
    for node, changes in inputs.items():
        graph[node]["inputs"] = {**graph[node]["inputs"], **changes}
    return graph


def numbered(number: int) -> ImageJob:
    return msgspec.structs.replace(JOB, number=number, seed=number)


def outcome_of(work: Callable[[], Any]) -> Any:
    """Return the result or the error of a call that does not hang."""
    outcomes: list[Any] = []

    def run() -> None:
        try:
            outcomes.append(work())
        except Exception as error:  # noqa: BLE001 - it is looked at
            outcomes.append(error)

    thread = Thread(target=run, daemon=True)
    thread.start()
    thread.join(TOO_LONG)
    assert outcomes, f"still at it after {TOO_LONG} seconds"
    return outcomes[0]


def drawn(backend: ImageBackend, job: ImageJob = JOB) -> Any:
    return outcome_of(lambda: backend.generate(job, StoppableContext()))


def is_whole(outcome: object) -> bool:
    if not isinstance(outcome, Generated):
        return False
    facts = read_facts(outcome.images[0].content)
    return (facts.width, facts.height) == JOB.size.sides


# Section 2: the normal run


def test_draws_what_was_asked(backend: ImageBackend, server: ComfyServer) -> None:
    context = StoppableContext()

    generated = backend.generate(JOB, context)

    assert is_whole(generated)
    assert context.references == server.ran
    assert generated.images[0].seed == JOB.seed


def test_nothing_polls_while_messages_arrive(
    build: Callable[..., ImageBackend], server: ComfyServer
) -> None:
    # On this clock, no poll is ever due.
    build(server, clock=FakeClock()).generate(JOB, StoppableContext())

    assert [(asked.method, asked.path) for asked in server.requests] == [
        ("GET", "/ws"),
        ("POST", "/prompt"),
        ("GET", f"/history/{server.ran[0]}"),
        ("GET", "/view"),
    ]


def test_is_heard_before_it_hands_in(
    backend: ImageBackend, server: ComfyServer
) -> None:
    backend.generate(JOB, StoppableContext())

    body = server.asked("POST", "/prompt")[0].json
    assert server.sockets_opened == [body["client_id"]]


def test_tells_the_steps(backend: ImageBackend) -> None:
    context = StoppableContext()

    backend.generate(JOB, context)

    told = zip(context.fractions, context.steps, strict=True)
    assert [step for step in told if step[1]] == [(1 / 3, 3), (2 / 3, 3), (1.0, 3)]


def test_takes_the_name_that_an_older_server_gives(
    build: Callable[..., ImageBackend],
) -> None:
    with ComfyServer(ignores_prompt_id=True) as server:
        context = StoppableContext()

        assert is_whole(build(server).generate(JOB, context))
        assert context.references == server.ran


@pytest.mark.parametrize(
    "how",
    [
        {"newer": True},
        {"prefix": "/comfy/here"},
        {"host": "::1"},
        {"sid": "another-name"},
        {"previews": True, "preview_bytes": 3_000_000},
        # Waits 3 s for the greeting.
        pytest.param({"greets": False}, marks=pytest.mark.nightly),
    ],
    ids=str,
)
def test_gets_on_with_other_servers(
    how: dict[str, Any], build: Callable[..., ImageBackend]
) -> None:
    with ComfyServer(**how) as server:
        assert is_whole(drawn(build(server)))


def test_finds_the_api_under_its_other_path(
    build: Callable[..., ImageBackend],
) -> None:
    with ComfyServer(only_api=True) as server:
        assert is_whole(drawn(build(f"{server.url}/api")))


def test_takes_large_frames(backend: ImageBackend, server: ComfyServer) -> None:
    server.trouble(huge_frames=5_000_000)

    assert is_whole(drawn(backend))
    assert max(len(str(frame.data)) for frame in server.frames) > 5_000_000


def test_waits_its_turn(
    build: Callable[..., ImageBackend], server: ComfyServer
) -> None:
    backend = build(server, clock=FastClock())
    server.occupy()
    context = StoppableContext()
    worker = Thread(target=lambda: outcomes.append(backend.generate(JOB, context)))
    outcomes: list[Generated] = []
    worker.start()
    server.wait_until(lambda: server.asked("GET", "/queue"))

    server.resume()
    worker.join(TOO_LONG)

    assert is_whole(outcomes[0])
    assert "queued, 1 ahead" in context.notes


def test_saves_of_two_passes_are_both_kept_the_last_pass_first(
    build: Callable[..., ImageBackend], server: ComfyServer, tmp_path: Path
) -> None:
    graph = sd15()
    graph["later"] = deepcopy(graph["sampler"])
    graph["later"]["inputs"] |= {"latent_image": ["sampler", 0], "seed": 9}
    graph["decode2"] = deepcopy(graph["decode"])
    graph["decode2"]["inputs"]["samples"] = ["later", 0]
    graph["save2"] = deepcopy(graph["save"])
    graph["save2"]["inputs"]["images"] = ["decode2", 0]
    file = tmp_path / "hires.json"
    file.write_bytes(msgspec.json.encode(graph))

    generated = drawn(build(server, workflow=str(file)))

    last, first = generated.images
    assert last.content != first.content
    alone = build(server, workflow=str(file), bindings={"output": "save2"})
    assert [image.content for image in drawn(alone).images] == [last.content]


# Section 3: the cache


def test_draws_the_same_again_from_the_cache(
    backend: ImageBackend, server: ComfyServer
) -> None:
    first, again = drawn(backend), drawn(backend)

    assert again.images[0].content == first.images[0].content
    assert len(server.ran) == 2


def test_draws_anew_what_is_cached_but_gone(
    backend: ImageBackend, server: ComfyServer
) -> None:
    drawn(backend)
    server.delete_file("imagen_00001_.png")

    context = StoppableContext()
    assert is_whole(backend.generate(JOB, context))
    assert len(context.references) == 1


def test_gives_up_on_files_that_are_always_gone(
    backend: ImageBackend, server: ComfyServer
) -> None:
    server.trouble(files_deleted=True)

    outcome = drawn(backend)

    assert type(outcome) is BackendError
    assert len(server.ran) == 2


# Section 4: refused prompts


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        (
            {"sampler": "dpmpp2m"},
            "sampler: 'dpmpp2m' is not on this server.",
            "Did you mean dpmpp_2m?",
        ),
        ({"scheduler": "none"}, "scheduler: 'none' is not", "simple, sgm_uniform"),
        ({"checkpoint.ckpt_name": "x"}, "cannot be set with --set", "--model"),
        ({"cfg": 101}, "cfg must be 0.0 to 100.0, not 101.", ""),
        ({"sampler.denoise": 1.5}, "sampler.denoise must be 0.0 to 1.0", ""),
    ],
    ids=["near", "choices", "flag", "range", "by-node"],
)
def test_a_wrong_option_is_refused_with_what_the_server_has(
    options: dict[str, object],
    message: str,
    hint: str,
    backend: ImageBackend,
    server: ComfyServer,
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        backend.generate(
            msgspec.structs.replace(JOB, options=options), StoppableContext()
        )

    assert message in caught.value.message
    assert hint in caught.value.hint
    assert server.prompts == []


def test_right_options_are_submitted(
    backend: ImageBackend, server: ComfyServer
) -> None:
    options = {"sampler": "dpmpp_2m", "cfg": 4.5, "save.filename_prefix": "mine"}

    drawn(backend, msgspec.structs.replace(JOB, options=options))

    assert server.prompts[0].graph["sampler"]["inputs"]["sampler_name"] == "dpmpp_2m"


@pytest.mark.parametrize("status", [403, 404])
def test_an_option_needs_no_types_of_nodes(
    build: Callable[..., ImageBackend], status: int
) -> None:
    replace = msgspec.structs.replace
    with ComfyServer() as server:
        server.spoil("/object_info/KSampler", status=status)
        backend = build(server)
        made = drawn(backend, replace(JOB, options={"cfg": 4.5, "sampler": "heun"}))
        wrong = drawn(backend, replace(JOB, options={"cfg": "much"}))
        unknown = drawn(backend, replace(JOB, options={"sampler": "none"}))

    assert is_whole(made)
    assert server.prompts[0].graph["sampler"]["inputs"]["cfg"] == 4.5
    assert (type(wrong), type(unknown)) == (InvalidRequest, Refused)


def test_an_option_of_an_unknown_node_is_left_to_the_server(
    build: Callable[..., ImageBackend],
) -> None:
    with ComfyServer(without_nodes=["KSampler"]) as server:
        outcome = drawn(
            build(server), msgspec.structs.replace(JOB, options={"cfg": 101})
        )

    assert type(outcome) is Refused


@pytest.mark.parametrize(
    ("graph", "words"),
    [
        (
            {**sd15(), "odd": {"class_type": "NoSuchNode", "inputs": {}}},
            ["NoSuchNode does not exist"],
        ),
        ({**sd15(), "odd": {"inputs": {}}}, ["node odd", "class_type"]),
        ({}, ["no output node, such as SaveImage"]),
        (
            sd15(checkpoint={"ckpt_name": "mine.safetensors"}),
            [
                "CheckpointLoaderSimple (node checkpoint)",
                "ckpt_name: 'mine.safetensors' is not on this server; it has: ",
            ],
        ),
        (
            sd15(sampler={"scheduler": "odd"}),
            ["scheduler: 'odd' is not on this server; it has: simple"],
        ),
        (sd15(latent={"width": 0}), ["width: 0 is out of range (16 to"]),
        (sd15(sampler={"seed": 2**64}), ["seed: ", str(2**64 - 1)]),
        (sd15(sampler={"seed": "abc"}), ["seed: 'abc' is not a value of type INT"]),
        (
            sd15(save={"images": ["latent", 0]}),
            ["images: linked to a value of type", "LATENT"],
        ),
        (
            sd15(save={"images": ["nowhere", 0]}),
            ["leads to a node or output that does not exist"],
        ),
        (
            sd15(save={"images": ["decode", 7]}),
            ["leads to a node or output that does not exist"],
        ),
        (
            sd15(
                decode={"samples": ["sampler", 0]},
                sampler={"latent_image": ["sampler", 0]},
            ),
            ["linked in a cycle"],
        ),
        (
            {
                "load": {"class_type": "LoadImage", "inputs": {"image": "missing.png"}},
                "save": {
                    "class_type": "SaveImage",
                    "inputs": {"images": ["load", 0], "filename_prefix": "x"},
                },
            },
            ["image: ", "missing.png"],
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_explains_a_refusal(
    graph: Graph,
    words: list[str],
    keep: Callable[..., object],
    server: ComfyServer,
) -> None:
    error = outcome_of(lambda: keep(graph))

    assert type(error) is Refused
    assert [word for word in words if word not in error.message] == [], error.message
    assert "/srv" not in error.message
    assert "Traceback" not in error.message
    assert server.ran == []


def test_explains_a_missing_input(keep: Callable[..., object]) -> None:
    graph = sd15()
    del graph["latent"]["inputs"]["width"]

    error = outcome_of(lambda: keep(graph))

    assert "width: the input is missing" in error.message


def test_calls_a_node_by_its_title(keep: Callable[..., object]) -> None:
    graph = sd15(checkpoint={"ckpt_name": "mine"})
    graph["checkpoint"]["_meta"] = {"title": "The Model"}

    error = outcome_of(lambda: keep(graph))

    assert "'The Model' (CheckpointLoaderSimple, node checkpoint)" in error.message


def test_shortens_a_long_list(keep: Callable[..., object], server: ComfyServer) -> None:
    server.models["checkpoints"] = [f"{number}.safetensors" for number in range(15)]

    error = outcome_of(lambda: keep(sd15()))

    assert error.message.endswith(".safetensors and 3 more.")


def with_two_outputs(bad: str) -> Graph:
    graph = sd15()
    graph["other"] = deepcopy(graph["save"])
    graph[bad]["inputs"]["images"] = ["latent", 0]
    return graph


def test_a_part_that_is_refused_is_not_left_out_silently(
    keep: Callable[..., object], server: ComfyServer
) -> None:
    server.occupy()

    error = outcome_of(lambda: keep(with_two_outputs("save")))

    assert type(error) is Refused
    assert "images: linked to a value of type" in error.message
    assert server.prompts[-1].state == "deleted"


def test_a_part_that_nobody_wants_may_be_refused(keep: Callable[..., object]) -> None:
    assert outcome_of(lambda: keep(with_two_outputs("other")))


def test_an_order_that_a_server_broke_over_is_looked_for(
    backend: ImageBackend, server: ComfyServer
) -> None:
    server.trouble(refuses_with=500)

    assert type(drawn(backend)) is Unavailable
    assert server.count("POST", "/prompt") == 1


def test_an_order_that_may_cost_is_never_given_up_for_lost(
    build: Callable[..., ImageBackend],
) -> None:
    with ComfyServer(token="k-1") as server:
        server.trouble(refuses_with=500)
        backend = build(server, api_key_env="K", secrets={"api_key_env": "k-1"})

        assert type(drawn(backend)) is Unfinished
        assert server.count("POST", "/prompt") == 1


@pytest.mark.parametrize(
    "error", [Cancelled("Enough."), KeyboardInterrupt(), MemoryError()], ids=repr
)
def test_what_happens_before_an_order_that_may_cost_is_sent_costs_nothing(
    build: Callable[..., ImageBackend], error: BaseException
) -> None:
    class Bursting(RecordingContext):
        def sleep(self, seconds: float) -> None:
            raise error

    with ComfyServer(token="k-1") as server:
        backend = build(server, api_key_env="K", secrets={"api_key_env": "k-1"})

        with pytest.raises(type(error)) as raised:
            backend.generate(JOB, Bursting())

        assert classify_failure(raised.value, sent=True) == "free"
        assert server.count("POST", "/prompt") == 0


# Section 5: failures while running


def test_tells_in_one_sentence_which_node_failed(
    backend: ImageBackend, server: ComfyServer
) -> None:
    server.trouble(
        fails="Error while reading /srv/comfyui/models/x.safetensors\n\nshape\n",
        fails_at="VAEDecode",
    )

    error = drawn(backend)

    assert type(error) is BackendError
    assert error.message == (
        "VAEDecode (node decode) failed: RuntimeError: Error while reading"
        " x.safetensors shape."
    )


def test_says_what_to_do_when_memory_runs_out(
    backend: ImageBackend, server: ComfyServer
) -> None:
    server.trouble(fails=OUT_OF_MEMORY, fails_with=OUT_OF_MEMORY_TYPE)

    error = drawn(backend)

    assert error.message == "KSampler (node sampler) ran out of memory."
    assert "smaller size" in error.hint


def test_hears_of_a_failure_in_a_very_long_frame(
    backend: ImageBackend, server: ComfyServer
) -> None:
    server.trouble(fails="no", huge_frames=300_000)

    assert drawn(backend).message == "KSampler (node sampler) failed: RuntimeError: no."


def test_reads_in_the_history_what_failed(
    backend: ImageBackend, server: ComfyServer
) -> None:
    server.trouble(fails="no", loses_frames={"*"})

    assert drawn(backend).message == "KSampler (node sampler) failed: RuntimeError: no."


@pytest.mark.parametrize("lost", [set(), {"*"}], ids=["told", "untold"])
def test_says_that_somebody_interrupted_it(
    lost: set[str], backend: ImageBackend, server: ComfyServer
) -> None:
    server.trouble(interrupted_by_another=True, loses_frames=lost)

    assert "interrupted" in drawn(backend).message


def test_says_that_another_client_deleted_it_from_the_queue(
    backend: ImageBackend, server: ComfyServer
) -> None:
    server.trouble(deleted_by_another=True)

    error = drawn(backend)

    assert type(error) is BackendError
    assert "deleted it from the queue" in error.message


def test_a_restarted_server_gets_the_job_again(
    backend: ImageBackend, server: ComfyServer
) -> None:
    server.trouble(restarts=0.1, times=1)
    context = StoppableContext()

    outcome = outcome_of(lambda: backend.generate(JOB, context))

    assert is_whole(outcome)
    assert len(set(server.ran)) == 1
    assert len(server.ran) == 2
    assert "the server lost the job; submitting it again" in context.notes
    assert len(context.references) == 1


def test_a_server_that_always_dies_gets_it_only_twice(
    backend: ImageBackend, server: ComfyServer
) -> None:
    server.trouble(restarts=0.05)

    error = drawn(backend)

    assert type(error) is BackendError
    assert "restarted twice" in error.message
    assert len(server.ran) == 2


def test_what_may_cost_is_told_as_lost_and_not_repeated(
    build: Callable[..., ImageBackend],
) -> None:
    with ComfyServer(token="k-1") as server:
        server.trouble(restarts=0.1)
        backend = build(server, api_key_env="K", secrets={"api_key_env": "k-1"})

        error = drawn(backend)

        assert type(error) is Unfinished
        assert "lost the job" in error.message
        assert len(server.ran) == 1


def test_a_server_that_does_not_come_back_is_given_up(
    backend: ImageBackend, server: ComfyServer
) -> None:
    server.trouble(restarts=3600.0)

    outcome = outcome_of(lambda: backend.generate(JOB, RecordingContext()))

    assert type(outcome) is Unfinished


def test_a_restart_while_it_waits_in_the_queue_is_noticed(
    backend: ImageBackend, server: ComfyServer
) -> None:
    server.occupy()
    outcomes: list[Any] = []
    worker = Thread(target=lambda: outcomes.append(drawn(backend)))
    worker.start()
    server.wait_until(lambda: len(server.queued) == 2)

    server.restart(away=0.1)
    worker.join(TOO_LONG)

    assert is_whole(outcomes[0])


# Section 7: races

RACES: dict[str, dict[str, Any]] = {
    "frames before the answer": {"frames_before_answer": True},
    "the answer comes late": {"answer_late": 0.3},
    "no history yet at success": {
        "history_late": 0.05,
        "loses_frames": {"executed", "executing"},
    },
    "frames come late": {"late_frames": 0.38},
    "a 500 although it runs": {"accepts_then": "500"},
    "a cut connection although it runs": {"accepts_then": "drop"},
    "no answer although it runs": {"accepts_then": "hang"},
    "no answer and no frame although it runs": {
        "accepts_then": "hang",
        "loses_frames": {"*"},
    },
    "the last frame is lost": {"loses_frames": {"executing"}},
    "the outcome is lost": {"loses_frames": {"execution_success"}},
    "the files are lost": {"loses_frames": {"executed"}},
    "all frames are lost": {"loses_frames": {"*"}},
    "the socket is closed": {"drops_socket": "clean"},
    "the socket is cut": {"drops_socket": "abort"},
    "deaf after a reconnect": {"drops_socket": "abort", "deaf_after_reconnect": True},
    "deaf in the middle": {"deaf": True},
    "the history is wiped": {"history_wiped": True},
}


# In these, only a poll helps. In the others, the real clock: messages that are on
# their way must arrive before a poll that is due.
POLLED = {
    "no history yet at success",
    "no answer and no frame although it runs",
    "deaf in the middle",
}


@pytest.mark.parametrize("race", RACES)
def test_loses_no_race(
    race: str, build: Callable[..., ImageBackend], server: ComfyServer
) -> None:
    backend = build(server, clock=FastClock() if race in POLLED else SystemClock())
    server.trouble(**RACES[race])

    with ThreadPoolExecutor(AT_ONCE) as crew:
        outcomes = list(
            crew.map(lambda n: drawn(backend, numbered(n)), range(1, REPETITIONS + 1))
        )

    lost = [outcome for outcome in outcomes if not is_whole(outcome)]
    assert lost == []
    assert len(server.prompts) == REPETITIONS, "an order was sent twice"


def test_asks_the_queue_before_the_history(
    backend: ImageBackend, server: ComfyServer
) -> None:
    server.trouble(loses_frames={"*"})
    drawn(backend)

    looks = [asked.path for asked in server.requests if asked.method == "GET"]
    history = next(n for n, path in enumerate(looks) if path.startswith("/history"))
    assert looks[history - 1] == "/queue"


def test_loses_nothing_in_a_restart(backend: ImageBackend, server: ComfyServer) -> None:
    for number in range(1, examples(4, nightly=20)):
        server.trouble(restarts=0.05, times=1)

        assert is_whole(drawn(backend, numbered(number))), number


# Fetching


@pytest.mark.parametrize(
    "cut",
    [
        {"cut": "short"},
        {"cut": "silent"},
        {"status": 502},
        {"status": 500},
        pytest.param({"cut": "empty"}, marks=pytest.mark.nightly),
        pytest.param({"drops": True}, marks=pytest.mark.nightly),
        pytest.param({"bytes_per_second": 2000.0}, marks=pytest.mark.nightly),
    ],
    ids=str,
)
def test_fetches_again_what_did_not_come_whole(
    cut: dict[str, Any], backend: ImageBackend, server: ComfyServer
) -> None:
    server.spoil("/view", times=2, **cut)

    assert is_whole(drawn(backend))


def test_says_that_an_image_was_made_but_cannot_be_fetched(
    backend: ImageBackend, server: ComfyServer
) -> None:
    server.spoil("/view", drops=True)

    error = outcome_of(lambda: backend.generate(JOB, RecordingContext()))

    assert type(error) is Unfinished
    assert "made the image" in error.message


# Cancelling


def cancelled(
    backend: ImageBackend, when: Callable[[], object], server: ComfyServer
) -> tuple[object, float]:
    """Cancel a job at the moment, and return its outcome and how soon it came."""
    context = StoppableContext()
    outcomes: list[Any] = []
    worker = Thread(
        target=lambda: outcomes.append(
            outcome_of(lambda: backend.generate(JOB, context))
        )
    )
    worker.start()
    server.wait_until(when)
    began = time.perf_counter()
    context.stop()
    worker.join(TOO_LONG)
    return outcomes[0], time.perf_counter() - began


def test_cancelling_takes_less_time_than_the_port_allows() -> None:
    assert CANCEL_TIMEOUT + CANCEL_POLL_INTERVAL < 2


def test_a_cancelled_job_is_stopped(
    build: Callable[..., ImageBackend], own_server: ComfyServer
) -> None:
    own_server.trouble(pauses=True)

    outcome, seconds = cancelled(
        build(own_server), lambda: own_server.paused, own_server
    )

    assert isinstance(outcome, Cancelled)
    assert seconds < READ_TIMEOUT
    own_server.wait_until(lambda: own_server.prompts[-1].state == "interrupted")


def test_a_cancelled_job_leaves_the_queue_and_nobody_else_is_touched(
    build: Callable[..., ImageBackend], own_server: ComfyServer
) -> None:
    theirs = own_server.occupy()

    outcome, seconds = cancelled(
        build(own_server), lambda: len(own_server.queued) == 2, own_server
    )

    assert isinstance(outcome, Cancelled)
    assert seconds < READ_TIMEOUT
    own_server.wait_until(lambda: own_server.prompts[-1].state == "deleted")
    assert own_server.prompt(theirs).state == "running"
    own_server.resume()


@pytest.mark.parametrize(
    ("path", "method"), [("/ws", "GET"), ("/prompt", "POST"), ("/view", "GET")]
)
def test_is_cancelled_while_the_server_is_silent(
    path: str, method: str, build: Callable[..., ImageBackend], own_server: ComfyServer
) -> None:
    # A file is requested once the history names it.
    for each in (path, "/queue", "/interrupt", "/history")[
        : 3 if path == "/view" else 4
    ]:
        own_server.spoil(each, late=60)

    outcome, seconds = cancelled(
        build(own_server), lambda: own_server.count(method, path), own_server
    )

    assert isinstance(outcome, Cancelled)
    assert seconds < READ_TIMEOUT


def test_an_order_that_arrives_after_its_cancelling_is_taken_back(
    build: Callable[..., ImageBackend], own_server: ComfyServer
) -> None:
    own_server.trouble(pauses=True)
    own_server.spoil("/prompt", held=True)

    outcome, seconds = cancelled(
        build(own_server), lambda: own_server.count("POST", "/prompt"), own_server
    )

    assert isinstance(outcome, Cancelled)
    assert seconds < READ_TIMEOUT
    own_server.resume()
    own_server.wait_until(
        lambda: own_server.prompts and own_server.prompts[-1].state == "interrupted"
    )


class FickleContext(StoppableContext):
    """Cancels the job after so many looks at it."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self._left = looks

    def sleep(self, seconds: float) -> None:
        self._left -= 1
        if self._left < 0:
            self.stop()
        super().sleep(seconds)


def test_is_cancelled_at_any_moment(backend: ImageBackend, server: ComfyServer) -> None:
    for number in some_by_day(range(1, 26), 9):
        context, job = FickleContext(number), numbered(number)
        outcome = outcome_of(
            lambda job=job, context=context: backend.generate(job, context)
        )

        assert isinstance(outcome, Cancelled) or is_whole(outcome)
        server.wait_until(lambda: not server.queued)


def test_a_busy_server_is_not_taken_for_one_that_is_gone(
    build: Callable[..., ImageBackend], server: ComfyServer
) -> None:
    backend = build(server, clock=FastClock())
    server.trouble(deaf=True)
    server.spoil("/queue", status=502, times=3)

    assert is_whole(drawn(backend))
    assert server.count("POST", "/prompt") == 1


# Not reached


def test_a_closed_door_is_an_outage(build: Callable[..., ImageBackend]) -> None:
    error = drawn(build("http://127.0.0.1:1"))

    assert type(error) is Unavailable
    assert "127.0.0.1:1 was not reached: connection refused" in error.message


def test_a_name_that_there_is_not_is_an_outage(
    build: Callable[..., ImageBackend],
) -> None:
    assert type(drawn(build("http://comfy.invalid"))) is Unavailable


def test_works_where_sockets_do_not_get_through(
    backend: ImageBackend, server: ComfyServer
) -> None:
    server.spoil("/ws", status=404)

    # Without a WebSocket, it polls once a second; on this context, at once.
    assert is_whole(outcome_of(lambda: backend.generate(JOB, RecordingContext())))
    assert server.count("GET", "/queue") > 0


def test_without_its_key_nothing_is_sent(
    build: Callable[..., ImageBackend], server: ComfyServer
) -> None:
    backend = build(server, headers_env={"X-API-Key": "COMFY_KEY"})

    error = drawn(backend)

    assert type(error) is Unauthorized
    assert "$COMFY_KEY is not set" in error.message
    assert server.requests == []


def test_all_missing_variables_are_named(
    build: Callable[..., ImageBackend], server: ComfyServer
) -> None:
    backend = build(server, headers_env={"X-A": "COMFY_A", "X-B": "COMFY_B"})

    assert "$COMFY_A and $COMFY_B are not set." in drawn(backend).message


def test_sends_other_headers(build: Callable[..., ImageBackend]) -> None:
    with ComfyServer(token="k-1") as server:
        backend = build(
            server,
            headers_env={"X-API-Key": "K"},
            secrets={"headers_env.X-API-Key": "k-1"},
        )

        assert is_whole(drawn(backend))
        assert backend.capabilities().may_cost


def test_a_login_in_the_address_is_sent_and_not_shown(
    build: Callable[..., ImageBackend], server: ComfyServer
) -> None:
    backend = build(server.url.replace("://", "://ada:s%20cret@"))

    assert is_whole(drawn(backend))
    assert {sent.headers.get("Authorization") for sent in server.requests} == {
        "Basic YWRhOnMgY3JldA=="
    }
    assert "cret" not in repr(backend)


def test_a_key_with_a_line_end_is_not_shown(
    build: Callable[..., ImageBackend], server: ComfyServer
) -> None:
    backend = build(server, api_key_env="K", secrets={"api_key_env": "k-1\n"})

    error = drawn(backend)

    assert type(error) is Misconfigured
    assert "k-1" not in f"{error!r} {error.__cause__!r} {error.__context__!r}"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("tls"))


def test_speaks_tls_with_those_it_trusts(
    certificate: Path,
    build: Callable[..., ImageBackend],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with ComfyServer(tls=load_certificate(certificate)) as server:
        stranger = drawn(build(server))
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "cert.pem"))
        friend = drawn(build(server))

    assert type(stranger) is Unavailable
    assert "its certificate is not trusted" in stranger.message
    assert is_whole(friend)


# Looking before


def findings(backend: ImageBackend) -> dict[str, str]:
    assert isinstance(backend, CheckableBackend)
    return {
        finding.name: finding.note
        for finding in backend.check(StoppableContext())
        if not finding.ready
    }


def test_names_each_missing_node_and_file(build: Callable[..., ImageBackend]) -> None:
    with ComfyServer(
        without_nodes=["VAEDecode"], models={"checkpoints": ["a.ckpt", "b.ckpt"]}
    ) as server:
        missing = findings(build(server))

        assert set(missing) == {
            "node VAEDecode",
            "file v1-5-pruned-emaonly-fp16.safetensors",
        }
        assert (
            "it has a.ckpt, b.ckpt"
            in missing["file v1-5-pruned-emaonly-fp16.safetensors"]
        )
        assert server.count("POST", "/prompt") == 0


def test_says_that_nobody_is_there(build: Callable[..., ImageBackend]) -> None:
    missing = findings(build("http://127.0.0.1:1"))

    assert list(missing) == ["server"]


def test_says_that_somebody_else_is_there(
    backend: ImageBackend, server: ComfyServer
) -> None:
    server.spoil("/system_stats", status=200, body="<html>hello</html>")

    assert "not from a ComfyUI server" in findings(backend)["server"]


# Several at once


def test_several_instances_do_not_disturb_each_other(
    build: Callable[..., ImageBackend], server: ComfyServer
) -> None:
    backends = [build(server) for _ in range(3)]

    with ThreadPoolExecutor(9) as threads:
        outcomes = list(
            threads.map(lambda n: drawn(backends[n % 3], numbered(n)), range(1, 13))
        )

    assert [outcome for outcome in outcomes if not is_whole(outcome)] == []
    assert len({outcome.images[0].content for outcome in outcomes}) == 12


def test_its_modules_cost_nothing_before_they_are_used() -> None:
    code = (
        "import sys, imagen.adapters.backends.comfyui.adapter\n"
        "print([m for m in ('httpx', 'websockets', 'PIL', 'ssl') if m in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert found.stdout.strip() == "[]"
