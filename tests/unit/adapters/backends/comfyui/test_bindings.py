"""How the places for a job are found: by links alone, or not at all."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.unit.adapters.backends.comfyui.graphs import (
    Node,
    Nodes,
    guided,
    load_workflow,
    node,
    sampler,
    stock,
    text,
)

from imagen.adapters.backends.comfyui.bindings import (
    BindingOverrides,
    Bindings,
    find_bindings,
)
from imagen.adapters.backends.comfyui.filling import fill_workflow
from imagen.adapters.backends.comfyui.graph import build_graph
from imagen.adapters.backends.comfyui.workflow import (
    workflow_capabilities,
)
from imagen.domain.errors import Misconfigured
from imagen.domain.job import ImageJob
from imagen.domain.size import Size

SQUARE = Size(512, 512)


def found(
    nodes: Mapping[str, object], bindings: BindingOverrides | None = None
) -> Bindings:
    return find_bindings(build_graph(nodes, source="mine.json"), bindings or {})


def places(slots: Bindings, name: str) -> list[str]:
    return [str(place) for place in getattr(slots, name)]


def refused(
    nodes: Mapping[str, object], bindings: BindingOverrides | None = None
) -> Misconfigured:
    with pytest.raises(Misconfigured) as caught:
        found(nodes, bindings)
    assert "mine.json" in caught.value.message
    return caught.value


def job(size: Size = SQUARE, steps: int | None = None) -> ImageJob:
    return ImageJob(
        number=1, prompt="a dog", size=size, seed=5, steps=steps, timeout=60
    )


def test_the_links_tell_which_text_is_which() -> None:
    slots = found(stock())

    assert places(slots, "prompt") == ["6.text"]
    assert places(slots, "negative") == ["7.text"]
    assert places(slots, "seed") == ["3.seed"]
    assert places(slots, "steps") == ["3.steps"]
    assert places(slots, "width") == ["5.width"]
    assert places(slots, "batch") == ["5.batch_size"]
    assert places(slots, "model") == ["4.ckpt_name"]
    assert slots.output == ("9",)


@pytest.mark.parametrize(
    ("between", "bound"),
    [
        (node("ImageUpscaleWithModel", image=["8", 0], upscale_model=["4", 0]), True),
        (node("ImageFromBatch", image=["8", 0], batch_index=0, length=1), False),
        (node("Make Image Grid", images=["8", 0], columns=2), False),
    ],
)
def test_a_batch_that_is_not_the_number_of_files_is_not_changed(
    between: Node, bound: bool
) -> None:
    last = node("SaveImage", filename_prefix="x", images=["20", 0])

    assert bool(found(stock(n9=last, n20=between)).batch) is bound


def test_the_frames_of_an_animation_are_no_batch() -> None:
    last = node("SaveAnimatedWEBP", filename_prefix="x", images=["8", 0])

    assert not found(stock(n9=last)).batch


def test_titles_play_no_part() -> None:
    misleading = {
        **text("a cat"),
        "_meta": {"title": "Negative Prompt"},
    }

    assert places(found(stock(n6=misleading)), "prompt") == ["6.text"]


def test_a_guider_graph_is_followed_through_its_parts() -> None:
    slots = found(guided())

    assert places(slots, "prompt") == ["6.text"]
    assert not slots.negative
    assert places(slots, "seed") == ["25.noise_seed"]
    assert places(slots, "steps") == ["17.steps"]
    assert places(slots, "width") == ["27.width", "30.width"]
    assert places(slots, "height") == ["27.height", "30.height"]
    assert places(slots, "guidance") == ["26.guidance"]
    assert places(slots, "sampler") == ["16.sampler_name"]
    assert places(slots, "model") == ["12.unet_name"]
    assert not slots.cfg


def test_a_cfg_guider_has_a_negative() -> None:
    guider = node(
        "CFGGuider", cfg=5, model=["30", 0], positive=["26", 0], negative=["7", 0]
    )

    slots = found(guided(n22=guider, n7=text("")))

    assert places(slots, "negative") == ["7.text"]
    assert places(slots, "cfg") == ["22.cfg"]


def test_a_custom_sampler_has_its_steps_on_the_schedule() -> None:
    custom = node(
        "SamplerCustom",
        add_noise=True,
        noise_seed=0,
        cfg=4.0,
        model=["4", 0],
        positive=["6", 0],
        negative=["7", 0],
        sampler=["14", 0],
        sigmas=["22", 0],
        latent_image=["5", 0],
    )
    slots = found(
        stock(
            n3=custom,
            n14=node("KSamplerSelect", sampler_name="euler_ancestral"),
            n22=node("SplitSigmas", sigmas=["23", 0], step=1),
            n23=node("SDTurboScheduler", steps=1, denoise=1, model=["4", 0]),
        )
    )

    assert places(slots, "seed") == ["3.noise_seed"]
    assert places(slots, "steps") == ["23.steps"]
    assert places(slots, "sampler") == ["14.sampler_name"]
    assert places(slots, "denoise") == ["23.denoise"]


class TestNegative:
    def test_there_is_none_at_cfg_1(self) -> None:
        assert not found(stock(n3=sampler(cfg=1))).negative

    def test_there_is_none_when_it_is_zeroed_out(self) -> None:
        zero = node("ConditioningZeroOut", conditioning=["6", 0])

        assert not found(stock(n7=zero)).negative

    def test_there_is_none_when_it_is_the_prompt_itself(self) -> None:
        assert not found(stock(n3=sampler(negative=["6", 0]))).negative

    def test_without_it_the_capability_is_absent(self, tmp_path: Path) -> None:
        file = tmp_path / "mine.json"
        file.write_text(json.dumps(stock(n3=sampler(cfg=1))), encoding="utf-8")

        assert workflow_capabilities(load_workflow(str(file))).negative is False

    def test_a_binding_is_believed_all_the_same(self) -> None:
        slots = found(stock(n3=sampler(cfg=1)), {"negative": "7.text"})

        assert places(slots, "negative") == ["7.text"]


class TestConditioning:
    def test_a_control_net_keeps_the_two_apart(self) -> None:
        control = node(
            "ControlNetApplyAdvanced",
            positive=["6", 0],
            negative=["7", 0],
            control_net=["50", 0],
            image=["51", 0],
        )
        slots = found(
            stock(
                n3=sampler(positive=["20", 0], negative=["20", 1]),
                n20=control,
                n50=node("ControlNetLoader", control_net_name="c.safetensors"),
                n51=node("LoadImage", image="pose.png"),
            )
        )

        assert places(slots, "prompt") == ["6.text"]
        assert places(slots, "negative") == ["7.text"]
        assert places(slots, "image") == ["51.image"]

    @pytest.mark.parametrize(
        "between",
        [
            node("ControlNetApply", conditioning=["6", 0], strength=1),
            node("Reroute", **{"": ["6", 0]}),
            node("ConditioningSetArea", conditioning=["6", 0], width=64, height=64),
            node("SomeonesOwnNode", input=["6", 0], clip=["4", 1]),
        ],
        ids=["control", "reroute", "area", "unknown"],
    )
    def test_what_lies_between_is_passed(self, between: dict[str, object]) -> None:
        slots = found(stock(n3=sampler(positive=["20", 0]), n20=between))

        assert places(slots, "prompt") == ["6.text"]
        assert places(slots, "width") == ["5.width"]

    def test_two_texts_for_one_encoder_are_both_filled(self) -> None:
        both = node("CLIPTextEncodeFlux", clip_l="a cat", t5xxl="A cat!", guidance=3.5)

        slots = found(stock(n6=both))

        assert places(slots, "prompt") == ["6.clip_l", "6.t5xxl"]
        assert places(slots, "guidance") == ["6.guidance"]

    def test_an_encoder_of_both_keeps_them_apart(self) -> None:
        both = node("TextEncodeQwenImage21", prompt="a", negative_prompt="b")
        slots = found(stock(n3=sampler(positive=["6", 0], negative=["6", 1]), n6=both))

        assert places(slots, "prompt") == ["6.prompt"]
        assert places(slots, "negative") == ["6.negative_prompt"]

    def test_two_prompts_combined_are_unclear(self) -> None:
        nodes = stock(
            n3=sampler(positive=["20", 0]),
            n20=node(
                "ConditioningCombine", conditioning_1=["6", 0], conditioning_2=["21", 0]
            ),
            n21=text("in a hat"),
        )

        error = refused(nodes)

        assert "prompt could be 6.text (CLIPTextEncode) or 21.text" in error.message
        assert 'bindings: {prompt: "6.text"}' in error.hint
        assert places(found(nodes, {"prompt": "6.text"}), "prompt") == ["6.text"]

    def test_an_empty_one_of_them_is_left_alone(self) -> None:
        slots = found(
            stock(
                n3=sampler(positive=["20", 0]),
                n20=node(
                    "ConditioningConcat",
                    conditioning_to=["6", 0],
                    conditioning_from=["21", 0],
                ),
                n21=text(""),
            )
        )

        assert places(slots, "prompt") == ["6.text"]


class TestLinkedValues:
    def test_a_primitive_is_filled_in_place_of_what_it_feeds(self) -> None:
        slots = found(
            stock(
                n6=text(["60", 0]),
                n60=node("PrimitiveStringMultiline", value="a cat"),
                n3=sampler(seed=["61", 0], steps=["62", 0]),
                n61=node("Seed (rgthree)", seed=3),
                n62=node("PrimitiveInt", value=20),
            )
        )

        assert places(slots, "prompt") == ["60.value"]
        assert places(slots, "seed") == ["61.seed"]
        assert places(slots, "steps") == ["62.value"]

    @pytest.mark.parametrize(("on", "value"), [(True, "63.value"), (False, "62.value")])
    def test_a_switch_is_followed_where_it_points(self, on: bool, value: str) -> None:
        slots = found(
            stock(
                n3=sampler(steps=["64", 0]),
                n62=node("PrimitiveInt", value=20),
                n63=node("PrimitiveInt", value=8),
                n64=node(
                    "ComfySwitchNode",
                    switch=["65", 0],
                    on_false=["62", 0],
                    on_true=["63", 0],
                ),
                n65=node("PrimitiveBoolean", value=on),
            )
        )

        assert places(slots, "steps") == [value]

    def test_a_joined_text_is_unclear(self) -> None:
        joined = node(
            "StringConcatenate", string_a="a cat", string_b="in oil", delimiter=", "
        )

        error = refused(stock(n6=text(["60", 0]), n60=joined))

        assert "60.string_a" in error.message
        assert "60.string_b" in error.message
        assert "delimiter" not in error.message

    def test_a_model_that_writes_is_not_taken_for_a_text(self) -> None:
        tagger = node("Tagger", image=["70", 0], model="wd-v1-4", exclude="")
        nodes = stock(n6=text(["60", 0]), n60=tagger, n70=node("LoadImage", image="a"))

        error = refused(nodes)

        assert "no input for the prompt" in error.message
        assert "7.text" not in error.hint
        assert 'prompt: "6.text"' in error.hint
        assert places(found(nodes, {"prompt": "6.text"}), "prompt") == ["6.text"]

    def test_a_computed_size_is_not_found(self, tmp_path: Path) -> None:
        nodes = stock(
            n5=node("EmptyLatentImage", width=["80", 0], height=["80", 1]),
            n80=node("ResolutionSelector", ratio="1:1", megapixels=1, multiple=8),
        )
        file = tmp_path / "mine.json"
        file.write_text(json.dumps(nodes), encoding="utf-8")

        can = workflow_capabilities(load_workflow(str(file)))

        assert len(can.sizes.choices) == 1
        assert can.largest_batch == 1

    def test_one_value_for_both_sides_gives_way(self, tmp_path: Path) -> None:
        latent = node(
            "EmptyLatentImage", width=["80", 0], height=["80", 0], batch_size=1
        )
        file = tmp_path / "mine.json"
        nodes = stock(n5=latent, n80=node("PrimitiveInt", value=768))
        file.write_text(json.dumps(nodes), encoding="utf-8")
        workflow = load_workflow(str(file))

        graph = fill_workflow(workflow, job(Size(512, 640)))

        assert workflow.size == Size(768, 768)
        assert graph["5"]["inputs"] == {"width": 512, "height": 640, "batch_size": 1}


class TestSizesInOtherPlaces:
    def sdxl(self, **sides: int) -> Nodes:
        encoder = node(
            "CLIPTextEncodeSDXL",
            text_g="a cat",
            text_l="a cat",
            clip=["4", 1],
            **{"crop_w": 0, "crop_h": 0, **sides},
        )
        return stock(n6=encoder)

    def test_the_conditioning_of_sdxl_has_the_same_size(self) -> None:
        slots = found(
            self.sdxl(width=512, height=512, target_width=512, target_height=512)
        )

        assert places(slots, "prompt") == ["6.text_g", "6.text_l"]
        assert places(slots, "width") == ["5.width", "6.width", "6.target_width"]
        assert places(slots, "height") == ["5.height", "6.height", "6.target_height"]

    def test_it_stays_where_it_is_another_in_the_file(self) -> None:
        slots = found(
            self.sdxl(width=4096, height=4096, target_width=512, target_height=512)
        )

        assert places(slots, "width") == ["5.width", "6.target_width"]

    def test_primitives_that_feed_all_places_are_filled_once(self) -> None:
        wide, high = ["80", 0], ["81", 0]
        slots = found(
            guided(
                n27=node("EmptyFlux2LatentImage", width=wide, height=high),
                n17=node("Flux2Scheduler", steps=20, width=wide, height=high),
                n30=node("Reroute", **{"": ["12", 0]}),
                n80=node("PrimitiveInt", value=1024),
                n81=node("PrimitiveInt", value=1024),
            )
        )

        assert places(slots, "width") == ["80.value"]
        assert places(slots, "height") == ["81.value"]
        assert places(slots, "model") == ["12.unet_name"]


class TestModels:
    def test_loras_and_patches_are_passed_on_the_way_to_the_model(self) -> None:
        slots = found(
            stock(
                n3=sampler(model=["31", 0]),
                n31=node("ModelSamplingAuraFlow", shift=3, model=["30", 0]),
                n30=node(
                    "LoraLoader",
                    lora_name="l.safetensors",
                    model=["4", 0],
                    clip=["4", 1],
                ),
            )
        )

        assert places(slots, "model") == ["4.ckpt_name"]
        assert places(slots, "prompt") == ["6.text"]


class TestImages:
    def test_an_image_to_start_from_is_found_and_has_the_size(self) -> None:
        slots = found(
            stock(
                n5=node("VAEEncode", pixels=["51", 0], vae=["4", 2]),
                n51=node("ImageScale", image=["50", 0], width=512, height=512),
                n50=node("LoadImage", image="start.png"),
            )
        )

        assert places(slots, "image") == ["50.image"]
        assert places(slots, "width") == ["51.width"]
        assert not slots.batch

    def test_without_a_size_there_is_no_slot_for_it(self) -> None:
        slots = found(
            stock(
                n5=node("VAEEncode", pixels=["50", 0], vae=["4", 2]),
                n50=node("LoadImage", image="start.png"),
            )
        )

        assert not slots.width
        assert not slots.height


def later(**inputs: object) -> dict[str, object]:
    return sampler(**{"latent_image": ["10", 0], "denoise": 0.5, **inputs})


class TestSeveralSamplers:
    def hires(self, **inputs: object) -> Nodes:
        return stock(
            n10=node("LatentUpscale", samples=["3", 0], width=1024, height=1024),
            n11=later(**inputs),
            n8=node("VAEDecode", samples=["11", 0], vae=["4", 2]),
        )

    def test_the_first_one_has_the_size(self) -> None:
        slots = found(self.hires())

        assert places(slots, "width") == ["5.width"]
        assert places(slots, "denoise") == ["3.denoise"]

    def test_what_they_share_is_filled_in_all(self) -> None:
        slots = found(self.hires())

        assert places(slots, "seed") == ["3.seed", "11.seed"]
        assert places(slots, "steps") == ["3.steps", "11.steps"]
        assert places(slots, "prompt") == ["6.text"]

    def test_what_the_second_has_of_its_own_stays(self) -> None:
        slots = found(self.hires(seed=9, steps=10))

        assert places(slots, "seed") == ["3.seed"]
        assert places(slots, "steps") == ["3.steps"]

    def refined(self, words: str = "a cat") -> Nodes:
        base = node(
            "KSamplerAdvanced",
            add_noise="enable",
            noise_seed=4,
            steps=25,
            cfg=8,
            start_at_step=0,
            end_at_step=20,
            sampler_name="euler",
            model=["4", 0],
            positive=["6", 0],
            negative=["7", 0],
            scheduler="normal",
            latent_image=["5", 0],
        )
        refiner = node(
            "KSamplerAdvanced",
            add_noise="disable",
            noise_seed=4,
            steps=25,
            cfg=8,
            start_at_step=20,
            end_at_step=10000,
            sampler_name="euler",
            model=["12", 0],
            positive=["15", 0],
            negative=["16", 0],
            scheduler="normal",
            latent_image=["3", 0],
        )
        return stock(
            n3=base,
            n11=refiner,
            n12=node("CheckpointLoaderSimple", ckpt_name="refiner.safetensors"),
            n15=text(words),
            n16=text("blurry"),
            n8=node("VAEDecode", samples=["11", 0], vae=["12", 2]),
        )

    def test_a_refiner_gets_the_same_prompt(self) -> None:
        slots = found(self.refined())

        assert places(slots, "prompt") == ["6.text", "15.text"]
        assert places(slots, "negative") == ["7.text", "16.text"]
        assert places(slots, "seed") == ["3.noise_seed"]
        assert places(slots, "model") == ["4.ckpt_name"]

    def test_a_refiner_takes_over_at_the_same_part_of_the_way(
        self, tmp_path: Path
    ) -> None:
        file = tmp_path / "mine.json"
        file.write_text(json.dumps(self.refined()), encoding="utf-8")

        graph = fill_workflow(load_workflow(str(file)), job(steps=50))

        said = json.dumps(graph)
        assert '"end_at_step": 40' in said
        assert '"start_at_step": 40' in said
        assert '"end_at_step": 10000' in said
        assert said.count('"steps": 50') == 2

    def test_a_refiner_with_another_prompt_is_unclear(self) -> None:
        error = refused(self.refined("a dog"))

        assert "6.text" in error.message
        assert "15.text" in error.message
        bound = found(self.refined("a dog"), {"prompt": ["6.text", "15.text"]})
        assert places(bound, "prompt") == ["6.text", "15.text"]

    def test_an_upscaler_that_samples_is_a_later_pass(self) -> None:
        upscaler = node(
            "UltimateSDUpscale",
            image=["8", 0],
            upscale_by=2,
            seed=1,
            steps=12,
            cfg=7,
            model=["4", 0],
            positive=["6", 0],
            negative=["7", 0],
            tile_width=512,
            denoise=0.2,
        )

        slots = found(stock(n20=upscaler, n9=node("SaveImage", images=["20", 0])))

        assert places(slots, "seed") == ["3.seed", "20.seed"]
        assert places(slots, "steps") == ["3.steps"]
        assert places(slots, "denoise") == ["3.denoise"]

    def two(self, words: str, side: int = 512) -> Nodes:
        return stock(
            n13=sampler(positive=["16", 0], latent_image=["15", 0]),
            n16=text(words),
            n15=node("EmptyLatentImage", width=side, height=side, batch_size=1),
            n18=node("VAEDecode", samples=["13", 0], vae=["4", 2]),
            n19=node("SaveImage", "Second", images=["18", 0]),
        )

    def test_two_pictures_are_unclear_and_every_candidate_is_named(self) -> None:
        error = refused(self.two("a dog", 768))

        assert 'output could be 9 (SaveImage) or 19 (SaveImage, "Second")' in (
            error.message
        )
        assert "prompt could be 6.text" in error.message
        assert "width and height could be 5.width" in error.message

    def test_naming_the_output_settles_all_of_it(self) -> None:
        slots = found(self.two("a dog", 768), {"output": "19"})

        assert places(slots, "prompt") == ["16.text"]
        assert places(slots, "width") == ["15.width"]
        assert slots.output == ("19",)

    def test_two_latents_of_different_size_are_unclear(self) -> None:
        nodes = stock(
            n3=sampler(latent_image=["20", 0]),
            n20=node("LatentComposite", samples_to=["5", 0], samples_from=["21", 0]),
            n21=node("EmptyLatentImage", width=256, height=256, batch_size=1),
        )

        error = refused(nodes)

        assert "width and height could be 5.width" in error.message
        assert "bindings: {width" in error.hint


class TestOutputs:
    def test_a_preview_on_the_way_is_not_the_result(self) -> None:
        slots = found(stock(n20=node("PreviewImage", images=["8", 0])))

        assert slots.output == ("9",)

    def test_a_preview_will_do_where_nothing_is_saved(self) -> None:
        assert found(stock(n9=node("PreviewImage", images=["8", 0]))).output == ("9",)

    def test_the_upscaled_image_comes_before_its_source(self) -> None:
        slots = found(
            stock(
                n20=node("UpscaleModelLoader", model_name="4x.pth"),
                n21=node(
                    "ImageUpscaleWithModel", upscale_model=["20", 0], image=["8", 0]
                ),
                n22=node("SaveImage", images=["21", 0]),
            )
        )

        assert slots.output == ("22", "9")
        assert places(slots, "prompt") == ["6.text"]
        assert places(slots, "model") == ["4.ckpt_name"]

    def test_what_no_sampler_drew_is_not_the_result(self) -> None:
        slots = found(
            stock(
                n20=node("LoadImage", image="a.png"),
                n21=node("SaveImage", images=["20", 0]),
            )
        )

        assert slots.output == ("9",)

    def test_a_node_pack_saves_as_well(self) -> None:
        slots = found(stock(n9=node("Image Save", images=["8", 0])))

        assert slots.output == ("9",)

    def test_two_images_of_one_prompt_are_both_results(self) -> None:
        second = {
            "n13": sampler(seed=5),
            "n18": node("VAEDecode", samples=["13", 0], vae=["4", 2]),
            "n19": node("SaveImage", images=["18", 0]),
        }
        slots = found(stock(**second))

        assert slots.output == ("9", "19")
        assert places(slots, "seed") == ["3.seed"]
        assert places(found(stock(**second), {"output": "19"}), "seed") == ["13.seed"]

    def test_an_output_that_is_not_there_is_told(self) -> None:
        assert "node '77'" in refused(stock(), {"output": "77"}).message


class TestUnclearRoles:
    def one_output_of(self, class_type: str) -> Nodes:
        return stock(
            n3=sampler(positive=["20", 1], negative=["33", 0]),
            n33=node("ConditioningZeroOut", conditioning=["20", 1]),
            n20=node(class_type, model=["4", 0], positive=["6", 0], negative=["7", 0]),
        )

    def test_a_prompt_from_the_config_settles_it(self) -> None:
        slots = found(self.one_output_of("Unknown"), {"prompt": "6.text"})

        assert places(slots, "prompt") == ["6.text"]
        assert not slots.negative

    def test_the_use_of_the_model_output_tells_the_order(self) -> None:
        nodes = self.one_output_of("ApplyInstantID")
        nodes["3"] = sampler(model=["20", 0], positive=["20", 1], negative=["33", 0])

        assert places(found(nodes), "prompt") == ["6.text"]

    def test_an_unclear_negative_is_not_bound(self) -> None:
        nodes = self.one_output_of("Unknown")
        nodes["3"] = sampler(negative=["20", 1])

        slots = found(nodes)

        assert places(slots, "prompt") == ["6.text"]
        assert not slots.negative

    def test_an_empty_prompt_is_not_left_for_the_negative(self) -> None:
        nodes = self.one_output_of("Unknown")
        nodes["6"] = text("")

        assert "6.text" in refused(nodes).message


class TestPlaceholders:
    def test_those_of_another_program_are_named(self) -> None:
        nodes = stock(
            n5=node("EmptyLatentImage", width="%width%", height=64, batch_size=1),
            n6=text("%prompt%"),
            n3=sampler(seed="%seed%"),
        )

        message = refused(nodes).message

        assert "5.width is %width%" in message
        assert "3.seed is %seed%" in message
        assert "6.text" not in message

    def test_those_for_the_texts_alone_are_filled(self) -> None:
        nodes = stock(n6=text("%prompt%"), n7=text("%negative_prompt%"))

        assert places(found(nodes), "prompt") == ["6.text"]


class TestBindings:
    def test_they_come_before_what_would_be_found(self) -> None:
        slots = found(stock(), {"prompt": "7.text", "negative": "6.text"})

        assert places(slots, "prompt") == ["7.text"]
        assert places(slots, "negative") == ["6.text"]

    def test_an_empty_list_says_nowhere(self) -> None:
        slots = found(stock(), {"seed": []})

        assert not slots.seed
        assert slots.prompt

    def test_a_workflow_may_have_no_prompt_if_that_is_meant(self) -> None:
        nodes = {
            "1": node("EmptyImage", width=64, height=64, batch_size=1, color=0),
            "2": node("SaveImage", images=["1", 0]),
        }

        assert "no input for the prompt" in refused(nodes).message
        slots = found(nodes, {"prompt": [], "seed": "1.color"})
        assert places(slots, "seed") == ["1.color"]
        assert places(slots, "width") == ["1.width"]

    def test_an_unknown_input_is_told_with_those_of_the_node(self) -> None:
        error = refused(stock(), {"prompt": "6.txt"})

        assert "'6.txt'" in error.message
        assert "text and clip" in error.hint

    def test_an_unknown_node_is_told_with_those_there_are(self) -> None:
        assert "6 (CLIPTextEncode)" in refused(stock(), {"prompt": "66.text"}).hint

    def test_an_unknown_slot_is_told(self) -> None:
        assert refused(stock(), {"promt": "6.text"}).hint == "Did you mean prompt?"

    def test_width_without_height_is_told(self) -> None:
        assert "in pairs" in refused(stock(), {"width": "5.width"}).message

    def test_a_linked_input_is_followed_to_its_value(self) -> None:
        nodes = stock(n6=text(["60", 0]), n60=node("PrimitiveString", value="a cat"))

        assert places(found(nodes, {"prompt": "6.text"}), "prompt") == ["60.value"]

    def test_names_may_contain_dots(self) -> None:
        nodes = stock()
        nodes["57:3.1"] = node("X", **{"mode.seed": 3})

        assert places(found(nodes, {"seed": "57:3.1.mode.seed"}), "seed") == [
            "57:3.1.mode.seed"
        ]


def test_a_node_that_does_it_all_needs_no_sampler() -> None:
    slots = found(
        {
            "1": node("FluxProNode", prompt="a cat", seed=0, width=1024, height=768),
            "2": node("SaveImage", images=["1", 0]),
        }
    )

    assert places(slots, "prompt") == ["1.prompt"]
    assert places(slots, "seed") == ["1.seed"]
    assert places(slots, "height") == ["1.height"]


def test_a_workflow_of_two_thousand_nodes_is_read_at_once() -> None:
    nodes = stock(n3=sampler(positive=["r0", 0]))
    for number in range(1900):
        onward = f"r{number + 1}" if number < 1899 else "6"
        nodes[f"r{number}"] = node("Reroute", **{"": [onward, 0]})

    assert places(found(nodes), "prompt") == ["6.text"]
