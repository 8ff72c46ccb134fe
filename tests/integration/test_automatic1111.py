"""What a WebUI receives, and what its responses mean."""

from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from hashlib import sha256
from io import BytesIO
from threading import Thread

import pytest
from PIL import Image
from tests.integration.automatic1111.stub import OWN, TITLE, WebuiStub
from tests.integration.served import Served, serve

from imagen.adapters.backends.automatic1111.vendor import adapter
from imagen.domain.errors import (
    BackendError,
    Cancelled,
    ImagenError,
    InvalidRequest,
    Refused,
    Unauthorized,
)
from imagen.domain.reference import ReferenceImage
from imagen.testing import StubResponse
from imagen.testing.fakes import RecordingContext, tiny_png
from imagen.testing.proxy import StagedResponse


def webui(
    program: str | WebuiStub = "AUTOMATIC1111",
    answers: dict[str, StagedResponse] | None = None,
    **more: object,
) -> AbstractContextManager[Served]:
    stub = WebuiStub(program) if isinstance(program, str) else program
    return serve(adapter, stub, answers, secrets={}, **more)


@pytest.fixture
def served() -> Iterator[Served]:
    with webui() as served:
        yield served


def reference(content: bytes) -> ReferenceImage:
    digest = sha256(content).hexdigest()
    return ReferenceImage(
        name="a.png", sha256=digest, media_type="image/png", content=content
    )


def encode(image: Image.Image) -> bytes:
    buffer = BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def test_sends_the_defaults_of_the_web_page(served: Served) -> None:
    generated = served.generate()

    body = served.submitted
    assert body.pop("force_task_id").startswith("task(imagen-")
    assert body == {
        "prompt": "a lighthouse in fog",
        "negative_prompt": "",
        "seed": 7,
        "steps": 20,
        "batch_size": 1,
        "n_iter": 1,
        "send_images": True,
        "save_images": False,
        "do_not_save_grid": True,
        "width": 512,
        "height": 256,
    }
    assert generated.images[0].seed == 7
    assert (generated.model, generated.steps) == ("v1-5-pruned-emaonly", 20)
    assert generated.parameters["sampler_name"] == "Euler"


@pytest.mark.parametrize("program", OWN)
def test_detects_the_program_once(program: str) -> None:
    with webui(program) as served:
        served.generate()
        before = len(served.proxy.requests)
        served.generate()
        (check,) = served.backend.check(RecordingContext())

        named = [one.json().get("force_task_id") for one in served.proxy.submits]
        again = [one.path for one in served.proxy.requests[before:]]
    has_tasks = "/internal/pending-tasks" in OWN[program]
    assert [name is not None for name in named] == [has_tasks] * 2
    assert again[0] == "/sdapi/v1/txt2img"
    shown = "AUTOMATIC1111" if program == "without a page" else program
    assert check.note == f"{shown}, {TITLE}"


def test_the_hires_fix_ends_at_the_size_of_the_job(served: Served) -> None:
    served.generate(options={"hr_scale": 1.5, "hr_upscaler": "Latent"})

    body = served.submitted
    assert (body["enable_hr"], body["hr_upscaler"]) == (True, "Latent")
    assert (body["width"], body["height"]) == (344, 168)
    assert (body["hr_resize_x"], body["hr_resize_y"]) == (512, 256)


def test_settings_do_not_load_the_former_model_again(served: Served) -> None:
    served.generate(model="6ce0161689", options={"clip_skip": 2, "vae": "None"})

    body = served.submitted
    assert body["override_settings"] == {
        "sd_model_checkpoint": TITLE,
        "CLIP_stop_at_last_layers": 2,
        "sd_vae": "None",
    }
    assert body["override_settings_restore_afterwards"] is False


@pytest.mark.parametrize(
    ("changes", "words", "hint"),
    [
        (
            {"model": "flux1-dve"},
            "has no model 'flux1-dve'",
            "Did you mean flux1-dev?",
        ),
        (
            {"options": {"sampler_name": "Euler b"}},
            "has no sampler 'Euler b'",
            "Did you mean Euler a?",
        ),
        (
            {"options": {"scheduler": "Steep"}},
            "has no scheduler 'Steep'",
            "It has Automatic, Karras.",
        ),
        ({"options": {"distilled_cfg_scale": 3.5}}, "no distilled_cfg_scale", None),
        ({"options": {"subseed_strength": 0.5}}, "needs a subseed", None),
        ({"options": {"hr_upscaler": "Latent"}}, "hr_upscaler needs hr_scale", None),
        (
            {"options": {"hr_scale": 2.0}, "images": (reference(tiny_png(64, 64)),)},
            "hr_scale is for jobs without a reference image",
            None,
        ),
        ({"options": {"steps": 5}}, "no parameter 'steps'", None),
    ],
)
def test_refuses_a_name_that_the_server_would_ignore(
    served: Served, changes: Mapping[str, object], words: str, hint: str | None
) -> None:
    with pytest.raises(InvalidRequest, match=words) as raised:
        served.generate(**changes)

    assert hint in {None, raised.value.hint}
    assert served.proxy.submits == []


def test_accepts_the_other_names_of_a_scheduler(served: Served) -> None:
    served.generate(options={"scheduler": "karras", "sampler_name": "euler A"})

    assert len(served.proxy.submits) == 1


def test_paints_the_transparent_part_of_a_mask(served: Served) -> None:
    mask = Image.new("RGBA", (64, 64), (0, 0, 0, 255))
    mask.paste((0, 0, 0, 0), (0, 0, 32, 64))
    served.generate(
        images=(reference(tiny_png(64, 64)),),
        mask=reference(encode(mask)),
        options={"denoising_strength": 0.6},
    )

    (request,) = served.proxy.submits
    body = request.json()
    assert request.path == "/sdapi/v1/img2img"
    assert b64decode(body["init_images"][0]) == tiny_png(64, 64)
    with Image.open(BytesIO(b64decode(body["mask"]))) as sent:
        assert (sent.getpixel((10, 10)), sent.getpixel((50, 10))) == (255, 0)
    assert (body["inpainting_fill"], body["inpaint_full_res"]) == (1, False)
    assert (body["width"], body["height"]) == (512, 256)


class Answering(WebuiStub):
    """A server with another response."""

    def __init__(self, **fields: object) -> None:
        super().__init__()
        self.fields = fields

    def describe(self, body: Mapping[str, object]) -> dict[str, object]:
        return {**super().describe(body), **self.fields}


def picture(red: int) -> bytes:
    return tiny_png(64, 64, (red, 0, 0))


def test_puts_a_grid_after_the_images() -> None:
    images = [b64encode(picture(red)).decode() for red in (1, 2)]
    info = '{"index_of_first_image": 1, "all_seeds": [7]}'
    with webui(Answering(images=images, info=info)) as served:
        generated = served.generate()

    assert [each.content for each in generated.images] == [picture(2), picture(1)]
    assert [each.seed for each in generated.images] == [7, None]


@pytest.mark.parametrize(
    "info", ["", "{", None, {"all_seeds": [-1]}, '{"all_seeds":[-1]}']
)
def test_knows_no_seed_without_the_details(info: object) -> None:
    text = f"data:image/png;base64,{b64encode(picture(1)).decode()}"
    with webui(Answering(images=[text], info=info)) as served:
        generated = served.generate()

    assert generated.images[0].content == picture(1)
    assert generated.images[0].seed is None


def test_the_image_of_an_interrupted_job_is_not_complete() -> None:
    stub = WebuiStub()
    with webui(stub) as served:
        stub.seconds = 30
        worker_errors: list[BaseException] = []

        def generate() -> None:
            try:
                served.generate()
            except Cancelled as error:
                worker_errors.append(error)

        worker = Thread(target=generate)
        worker.start()
        stub.drawing.wait(10)
        served.context.stop()
        worker.join(10)

        assert len(served.proxy.of("cancel")) == 1
    (error,) = worker_errors
    assert isinstance(error, Cancelled)
    assert error.settled


@pytest.mark.parametrize(
    ("status", "body", "error", "words"),
    [
        (404, {"detail": "Not Found"}, InvalidRequest, "The WebUI has no API"),
        (
            400,
            {"detail": "Sampler not found"},
            InvalidRequest,
            "job: Sampler not found",
        ),
        (
            404,
            {"error": "HTTPException", "detail": "Sampler not found", "errors": ""},
            InvalidRequest,
            "rejects the job: Sampler not found",
        ),
        (401, {"detail": "Incorrect username or password"}, Unauthorized, "Incorrect"),
        (
            422,
            {"detail": [{"loc": ["body", "steps"], "msg": "not a valid integer"}]},
            Refused,
            "steps: not a valid integer",
        ),
        (
            500,
            {
                "error": "OutOfMemoryError",
                "detail": "",
                "errors": "CUDA out of memory.",
            },
            BackendError,
            "not enough memory",
        ),
        (
            500,
            {"error": "server_error", "message": "no results"},
            BackendError,
            "no res",
        ),
        (500, {"error": "no image"}, BackendError, "no image"),
    ],
)
def test_explains_a_refused_or_failed_job(
    status: int, body: object, error: type[ImagenError], words: str
) -> None:
    answer = StubResponse(status=status, json=body)
    with (
        webui(answers={"submit": answer}) as served,
        pytest.raises(error, match=words),
    ):
        served.generate()
