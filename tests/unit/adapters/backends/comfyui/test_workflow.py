"""What is read of a workflow, and what of a job goes into it."""

import contextlib
import copy
import json
import math
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.nightly import examples
from tests.unit.adapters.backends.comfyui.graphs import load_workflow

from imagen.adapters.backends.comfyui.filling import fill_workflow
from imagen.adapters.backends.comfyui.graph import encode_graph
from imagen.adapters.backends.comfyui.workflow import (
    BUILT_IN,
    Workflow,
    list_required_files,
    workflow_capabilities,
)
from imagen.domain.errors import InvalidRequest, Misconfigured
from imagen.domain.job import ImageJob
from imagen.domain.size import Size

PORTRAIT = Size(512, 768)
SD15 = load_workflow("sd15")
FLUX = ["flux-schnell", "flux-schnell-checkpoint", "flux-dev", "z-image-turbo"]


def job(
    *,
    prompt: str = "a cat",
    size: Size = PORTRAIT,
    seed: int | None = 7,
    steps: int | None = None,
    negative: str = "",
    count: int = 1,
    model: str = "",
    options: Mapping[str, object] | None = None,
) -> ImageJob:
    return ImageJob(
        number=1,
        prompt=prompt,
        negative=negative,
        size=size,
        seed=seed,
        steps=steps,
        count=count,
        model=model,
        options=options or {},
        timeout=60,
    )


def inputs(graph: Mapping[str, Mapping[str, object]], node: str) -> dict[str, object]:
    found = graph[node]["inputs"]
    assert isinstance(found, dict)
    return found


def written(folder: Path, graph: object) -> str:
    file = folder / "mine.json"
    file.write_text(json.dumps(graph), encoding="utf-8")
    return str(file)


def test_every_file_of_ours_has_a_name_and_every_name_a_file() -> None:
    folder = resources.files("imagen.adapters.backends.comfyui") / "workflows"

    assert {file.name for file in folder.iterdir()} == {f"{n}.json" for n in BUILT_IN}


@pytest.mark.parametrize("name", BUILT_IN)
def test_fills_every_workflow_of_ours(name: str) -> None:
    workflow = load_workflow(name)

    graph = fill_workflow(workflow, job(steps=3, count=2), prefix="imagen/x")

    everything = json.dumps(graph)
    assert json.loads(everything) == graph
    assert graph.keys() == workflow.graph.nodes.keys()
    assert inputs(graph, "prompt")["text"] == "a cat"
    assert inputs(graph, "save")["filename_prefix"] == "imagen/x"
    assert inputs(graph, "latent")["width"] == 512
    assert inputs(graph, "latent")["height"] == 768
    assert inputs(graph, "latent")["batch_size"] == 2
    assert everything.count('seed": 7') == 1
    assert everything.count('"steps": 3') == 1
    assert workflow.bindings.output == ("save",)


@pytest.mark.parametrize("name", BUILT_IN)
def test_says_what_every_workflow_of_ours_can_do(name: str) -> None:
    can = workflow_capabilities(load_workflow(name))

    assert can.model.endswith(".safetensors")
    assert can.largest_seed == 2**64 - 1
    assert can.steps
    assert can.negative is (name not in FLUX)
    assert can.sizes.multiple == (8 if name in {"sd15", "sdxl"} else 16)
    assert (can.sizes.smallest, can.sizes.largest) == (16, 16384)
    assert can.largest_batch == 4096
    assert can.may_cost is False


@pytest.mark.parametrize(
    ("latent", "sides", "made"),
    [
        ("EmptyLatentImage", (832, 1216), Size(832, 1216)),
        ("EmptySD3LatentImage", (1080, 1350), Size(1080, 1344)),
        ("EmptyFlux2LatentImage", (1080, 1350), Size(1072, 1344)),
        ("EmptyImage", (100, 75), Size(100, 75)),
        ("EmptyLatentImage", (8, 8), None),
    ],
)
def test_the_size_of_the_file_is_the_default(
    latent: str, sides: tuple[int, int], made: Size | None, tmp_path: Path
) -> None:
    graph = fill_workflow(load_workflow("flux-dev"), job())
    graph["latent"]["class_type"] = latent
    inputs(graph, "latent").update(width=sides[0], height=sides[1])

    sizes = workflow_capabilities(load_workflow(written(tmp_path, graph))).sizes

    assert sizes.default == made
    assert sizes.nearest(made or Size()) == (made or Size())


def test_a_preset_of_the_size_gives_way_to_the_sides(tmp_path: Path) -> None:
    nodes = {
        "1": {
            "class_type": "easy fullLoader",
            "inputs": {
                "resolution": "768 x 1024",
                "empty_latent_width": 512,
                "empty_latent_height": 512,
                "positive": "a cat",
                "negative": "",
            },
        },
        "2": {
            "class_type": "easy fullkSampler",
            "inputs": {"pipe": ["1", 0], "seed": 1},
        },
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 1]}},
    }
    workflow = load_workflow(written(tmp_path, nodes))

    filled = inputs(fill_workflow(workflow, job(size=Size(640, 384))), "1")

    assert workflow.size == Size(768, 1024)
    assert (filled["empty_latent_width"], filled["empty_latent_height"]) == (640, 384)
    assert filled["resolution"] == "width x height (custom)"


@pytest.mark.parametrize("name", BUILT_IN)
def test_what_is_filled_is_read_again_as_the_same_workflow(
    name: str, tmp_path: Path
) -> None:
    workflow = load_workflow(name)

    again = load_workflow(written(tmp_path, fill_workflow(workflow, job(steps=9))))

    assert again.bindings == workflow.bindings
    assert (again.size, again.steps) == (Size(512, 768), 9)
    assert list_required_files(again) == list_required_files(workflow)


@pytest.mark.parametrize(
    ("name", "node"), [("flux-dev", "shift"), ("flux2-klein", "schedule")]
)
def test_flux_has_its_size_in_both_places(name: str, node: str) -> None:
    graph = fill_workflow(load_workflow(name), job())

    assert (inputs(graph, node)["width"], inputs(graph, node)["height"]) == (512, 768)


def test_filling_leaves_the_workflow_as_it_was() -> None:
    workflow = load_workflow("flux-dev")
    before = copy.deepcopy(workflow)

    graph = fill_workflow(workflow, job(steps=3))
    inputs(graph, "sampler")["noise"] = "gone"
    del graph["decode"]

    assert workflow == before


@settings(max_examples=examples(20, nightly=200))
@given(
    prompt=st.text(),
    negative=st.text(),
    seed=st.integers(1, 2**64 - 1),
    steps=st.none() | st.integers(1, 10_000),
)
def test_every_job_finds_its_way_into_the_graph(
    prompt: str, negative: str, seed: int, steps: int | None
) -> None:
    graph = fill_workflow(
        SD15, job(prompt=prompt, negative=negative, seed=seed, steps=steps)
    )

    assert inputs(graph, "prompt")["text"] == prompt
    assert inputs(graph, "negative")["text"] == negative
    assert inputs(graph, "sampler")["seed"] == seed
    assert inputs(graph, "sampler")["steps"] == (steps or 20)


def test_without_a_prefix_the_file_keeps_its_own() -> None:
    graph = fill_workflow(load_workflow("sd15"), job())

    assert inputs(graph, "save")["filename_prefix"] == "imagen"


def test_another_model_file_is_used_where_the_config_names_one() -> None:
    workflow = load_workflow(
        "flux-schnell", files={"unet": "mine.gguf", "clip2": "t5.safetensors"}
    )

    graph = fill_workflow(workflow, job())

    assert inputs(graph, "unet")["unet_name"] == "mine.gguf"
    assert inputs(graph, "clip")["clip_name2"] == "t5.safetensors"
    assert workflow_capabilities(workflow).model == "mine.gguf"


def test_a_model_that_the_request_names_goes_into_the_main_loader() -> None:
    graph = fill_workflow(load_workflow("sd15"), job(model="other.safetensors"))

    assert inputs(graph, "checkpoint")["ckpt_name"] == "other.safetensors"


def test_a_file_that_the_workflow_does_not_load_is_told() -> None:
    with pytest.raises(Misconfigured, match="sd15 loads no unet") as caught:
        load_workflow("sd15", files={"unet": "x.safetensors"})

    assert caught.value.hint == "It loads checkpoint."


def test_a_file_of_several_loaders_is_named_by_its_input(tmp_path: Path) -> None:
    graph = fill_workflow(load_workflow("sd15"), job())
    graph["refiner"] = {"class_type": "CheckpointLoaderSimple", "inputs": {}}
    inputs(graph, "refiner")["ckpt_name"] = "refiner.safetensors"
    path = written(tmp_path, graph)

    with pytest.raises(Misconfigured, match=r"checkpoint\.ckpt_name .* or refiner\."):
        load_workflow(path, files={"checkpoint": "x.safetensors"})
    workflow = load_workflow(path, files={"refiner.ckpt_name": "x.safetensors"})

    files = [file.name for file in list_required_files(workflow)]
    assert files == ["v1-5-pruned-emaonly-fp16.safetensors", "x.safetensors"]


def test_lists_the_files_that_the_server_must_have() -> None:
    workflow = load_workflow("flux-schnell")

    files = [
        (one.class_type, one.input, one.name) for one in list_required_files(workflow)
    ]

    assert files == [
        ("UNETLoader", "unet_name", "flux1-schnell.safetensors"),
        ("DualCLIPLoader", "clip_name1", "clip_l.safetensors"),
        ("DualCLIPLoader", "clip_name2", "t5xxl_fp16.safetensors"),
        ("VAELoader", "vae_name", "ae.safetensors"),
    ]


class TestOptions:
    def test_an_input_is_set_by_node_and_name(self) -> None:
        graph = fill_workflow(load_workflow("sd15"), job(options={"sampler.cfg": 4.5}))

        assert inputs(graph, "sampler")["cfg"] == 4.5

    @pytest.mark.parametrize(
        ("name", "value", "node", "key"),
        [
            ("cfg", 4, "sampler", "cfg"),
            ("sampler", "dpmpp_2m", "sampler", "sampler_name"),
            ("scheduler", "karras", "sampler", "scheduler"),
            ("denoise", 0.5, "sampler", "denoise"),
        ],
    )
    def test_what_many_workflows_have_has_a_name_of_its_own(
        self, name: str, value: object, node: str, key: str
    ) -> None:
        graph = fill_workflow(load_workflow("sd15"), job(options={name: value}))

        assert inputs(graph, node)[key] == value

    def test_those_names_follow_the_links_too(self) -> None:
        wishes = {"guidance": 2.0, "sampler": "heun", "scheduler": "beta"}

        graph = fill_workflow(load_workflow("flux-dev"), job(options=wishes))

        assert inputs(graph, "guidance")["guidance"] == 2.0
        assert inputs(graph, "method")["sampler_name"] == "heun"
        assert inputs(graph, "schedule")["scheduler"] == "beta"

    def test_an_unknown_one_is_refused_with_what_there_is(self) -> None:
        with pytest.raises(
            InvalidRequest, match=r"no parameter 'sampler\.cgf'"
        ) as caught:
            fill_workflow(load_workflow("sd15"), job(options={"sampler.cgf": 4}))

        assert "Did you mean sampler.cfg?" in caught.value.hint
        assert "save.filename_prefix" in caught.value.hint

    def test_what_a_flag_or_a_link_sets_is_not_suggested(self) -> None:
        with pytest.raises(InvalidRequest) as caught:
            fill_workflow(load_workflow("sd15"), job(options={"latent.widht": 64}))

        assert "latent.width" not in caught.value.hint
        assert "sampler.model" not in caught.value.hint

    def test_guidance_is_not_there_where_no_node_has_it(self) -> None:
        with pytest.raises(InvalidRequest, match="no parameter 'guidance'"):
            fill_workflow(load_workflow("sd15"), job(options={"guidance": 3}))

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("cfg", "high"),
            ("cfg", True),
            ("cfg", None),
            ("cfg", math.nan),
            ("cfg", math.inf),
            ("cfg", [1]),
            ("sampler", 3),
            ("denoise", {}),
        ],
    )
    def test_a_value_that_makes_no_sense_is_refused(
        self, name: str, value: object
    ) -> None:
        with pytest.raises(InvalidRequest, match=name):
            fill_workflow(load_workflow("sd15"), job(options={name: value}))

    @pytest.mark.parametrize(
        ("place", "flag"),
        [
            ("sampler.seed", "--seed"),
            ("sampler.steps", "--steps"),
            ("latent.width", "--size"),
            ("latent.batch_size", "--count"),
            ("negative.text", "--negative"),
            ("checkpoint.ckpt_name", "--model"),
        ],
    )
    def test_what_has_a_flag_is_not_set_behind_its_back(
        self, place: str, flag: str
    ) -> None:
        with pytest.raises(InvalidRequest) as caught:
            fill_workflow(load_workflow("sd15"), job(options={place: 3}))

        assert caught.value.hint == f"Use {flag}."

    def test_a_linked_input_is_not_cut_off(self) -> None:
        with pytest.raises(InvalidRequest, match="linked to node checkpoint"):
            fill_workflow(load_workflow("sd15"), job(options={"sampler.model": "x"}))

    def test_half_a_step_is_refused(self, tmp_path: Path) -> None:
        graph = fill_workflow(load_workflow("sd15"), job())
        graph["extra"] = {"class_type": "X", "inputs": {"end_at_step": 10}}
        workflow = load_workflow(written(tmp_path, graph))

        with pytest.raises(InvalidRequest, match="must be an integer"):
            fill_workflow(workflow, job(options={"extra.end_at_step": 1.5}))


class TestWrappers:
    @pytest.mark.parametrize(
        "wrap",
        [
            lambda graph: {"prompt": graph, "client_id": "x"},
            lambda graph: {"input": {"workflow": graph, "images": []}},
            lambda graph: {"input": {"prompt": graph}},
            lambda graph: {"workflow": {"nodes": [], "links": []}, "output": graph},
            lambda graph: {"workflow": graph},
        ],
        ids=["request", "runpod", "runpod-prompt", "editor-export", "workflow"],
    )
    def test_a_request_around_the_workflow_is_removed(
        self, wrap: Callable[[object], object], tmp_path: Path
    ) -> None:
        graph = fill_workflow(SD15, job())

        workflow = load_workflow(written(tmp_path, wrap(graph)))

        assert workflow.bindings == SD15.bindings

    def test_nodes_called_like_a_wrapper_are_nodes(self, tmp_path: Path) -> None:
        graph = fill_workflow(SD15, job())
        graph["output"] = graph.pop("save")
        assert "prompt" in graph

        workflow = load_workflow(written(tmp_path, graph))

        assert workflow.bindings.output == ("output",)

    def test_what_wraps_no_workflow_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(Misconfigured, match="node input has no class_type"):
            load_workflow(written(tmp_path, {"input": {"workflow": {"a": 1}}}))


class TestNumbersBeyondJson:
    @pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
    def test_are_read_and_sent_as_comfyui_does(
        self, value: str, tmp_path: Path
    ) -> None:
        graph = fill_workflow(SD15, job())
        inputs(graph, "sampler")["eta"] = float(value)
        graph["sampler"]["is_changed"] = [math.nan]
        file = written(tmp_path, graph)

        sent = encode_graph(fill_workflow(load_workflow(file), job()))

        assert f'"eta": {value}' in sent.decode()
        assert repr(inputs(json.loads(sent), "sampler")["eta"]) == repr(float(value))

    def test_a_null_of_the_file_stays_null(self, tmp_path: Path) -> None:
        graph = fill_workflow(SD15, job())
        inputs(graph, "sampler")["extra"] = None

        sent = encode_graph(
            fill_workflow(load_workflow(written(tmp_path, graph)), job())
        )

        assert inputs(json.loads(sent), "sampler")["extra"] is None


class TestHostileFiles:
    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"", "not JSON"),
            (b"a cat", "not JSON"),
            (b"\xff\xfe{\x00}\x00", "not JSON"),
            (b"[]", "not a workflow"),
            (b"null", "not a workflow"),
            (b"{}", "empty workflow"),
            (b'{"1": 5}', "node 1 is not a node"),
            (b'{"1": {"inputs": {}}}', "node 1 has no class_type"),
            (b'{"1": {"class_type": 3}}', "node 1 has no class_type"),
            (
                b'{"1": {"class_type": "X", "inputs": []}}',
                "inputs is not a JSON object",
            ),
            (b"[" * 100_000, "nested too deeply"),
            (b'{"1": {"class_type": "X"}}', "no node that saves or shows"),
            (
                b'{"1": {"class_type": "X", "inputs": {"a": ["2", 0]}}}',
                r"1\.a \(X\) is linked to node 2, which does not exist",
            ),
            (
                b'{"1": {"class_type": "X", "inputs": {"a": ["2", 0]}},'
                b' "2": {"class_type": "Y", "inputs": {"a": ["1", 0]}}}',
                "has a cycle",
            ),
            (
                b'{"1": {"class_type": "X", "inputs": {"a": ["1", 0]}}}',
                "has a cycle: 1 → 1",
            ),
        ],
        ids=range(15),
    )
    def test_is_told_in_a_sentence_with_the_file(
        self, content: bytes, words: str, tmp_path: Path
    ) -> None:
        file = tmp_path / "mine.json"
        file.write_bytes(content)

        with pytest.raises(Misconfigured, match=words) as caught:
            load_workflow(str(file))

        assert "mine.json" in caught.value.message

    def test_a_huge_file_is_not_read(self, tmp_path: Path) -> None:
        file = tmp_path / "mine.json"
        file.write_bytes(b" " * (9 * 2**20))

        with pytest.raises(Misconfigured, match="larger than 8 MiB"):
            load_workflow(str(file))

    def test_a_byte_order_mark_is_forgiven(self, tmp_path: Path) -> None:
        file = tmp_path / "mine.json"
        graph = fill_workflow(load_workflow("sd15"), job())
        file.write_text(json.dumps(graph), encoding="utf-8-sig")

        assert load_workflow(str(file)).bindings.prompt

    def test_control_characters_do_not_reach_the_terminal(self, tmp_path: Path) -> None:
        with pytest.raises(Misconfigured) as caught:
            load_workflow(written(tmp_path, {"\x1b[31m": {"inputs": {}}}))

        assert "\x1b" not in caught.value.message

    def test_a_folder_is_not_a_workflow(self, tmp_path: Path) -> None:
        with pytest.raises(Misconfigured, match="is not a file"):
            load_workflow(str(tmp_path))

    def test_a_misspelt_name_is_recognised(self) -> None:
        with pytest.raises(
            Misconfigured, match="Unknown workflow flux-schnel:"
        ) as caught:
            load_workflow("flux-schnel")

        assert "flux-schnell" in caught.value.hint

    @pytest.mark.parametrize("name", ["", "\x00", "a" * 10_000])
    def test_no_name_is_too_odd(self, name: str) -> None:
        with pytest.raises(Misconfigured):
            load_workflow(name)

    @settings(max_examples=examples(40, nightly=1000))
    @given(
        st.dictionaries(
            st.sampled_from("123"),
            st.fixed_dictionaries(
                {
                    "class_type": st.sampled_from(
                        [
                            *("KSampler", "SaveImage", "ConditioningZeroOut"),
                            *("Reroute", "Any Switch", "StringReplace", "LoadImage"),
                        ]
                    ),
                    "inputs": st.dictionaries(
                        st.sampled_from(
                            [
                                *("positive", "negative", "seed", "text", "images"),
                                *("latent_image", "width", "height", "switch"),
                                *("on_true", "on_false", "guider", "noise", "sigmas"),
                                *("steps", "cfg", "model", "batch_size", "pipe"),
                                *("conditioning", "string_a", "string_b", "find"),
                                *("string", "replace", "select", "input1", "image"),
                            ]
                        ),
                        st.integers()
                        | st.text()
                        | st.booleans()
                        | st.none()
                        | st.floats(allow_nan=False, allow_infinity=False)
                        | st.tuples(st.sampled_from("1234"), st.integers(0, 2)).map(
                            list
                        ),
                    ),
                }
            ),
        )
    )
    def test_whatever_the_nodes_say_it_works_or_is_told(
        self, tmp_path_factory: pytest.TempPathFactory, graph: dict[str, object]
    ) -> None:
        path = written(tmp_path_factory.getbasetemp(), graph)
        workflow: Workflow | None = None
        with contextlib.suppress(Misconfigured):
            workflow = load_workflow(path, bindings={"prompt": []})
        if workflow is not None:
            workflow_capabilities(workflow)
            fill_workflow(workflow, job())
