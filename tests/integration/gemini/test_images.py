"""What Gemini receives, which images it returns, and what they cost."""

from collections.abc import Mapping

import pytest
from tests.integration.gemini.conftest import (
    CONTENT,
    DONE,
    DRAFT,
    FIRST,
    KEY,
    MODEL,
    PHOTO,
    RESULT,
    Generate,
    answer,
    bodies,
    connect,
    encoded,
    interaction,
    output,
    part,
    photo,
)
from tests.integration.remote.server import (
    Reply,
    ScriptedServer,
    json_reply,
)

from imagen.adapters.system.prices import look_up_price
from imagen.domain.consumption import Used
from imagen.domain.errors import (
    InvalidRequest,
    Unfinished,
)
from imagen.domain.job import ImageJob
from imagen.domain.money.price import calculate_cost
from imagen.domain.size import Size
from imagen.testing.fakes import RecordingContext

# What is sent


def test_an_interaction_is_stored_and_runs_in_the_background(
    server: ScriptedServer, generate: Generate
) -> None:
    made = generate(
        json_reply(interaction("in_progress")),
        DONE,
        size=Size(2752, 1536),
        images=(photo(),),
        options={},
    )

    (body,) = bodies(server, "/v1beta/interactions")
    assert [image.content for image in made.images] == [RESULT]
    assert server.requests[0].headers["x-goog-api-key"] == KEY
    assert body == {
        "model": MODEL,
        "input": [
            {"type": "text", "text": "a fox"},
            {"type": "image", "mime_type": "image/png", "data": encoded(PHOTO)},
        ],
        "response_format": [
            {
                "type": "image",
                "aspect_ratio": "16:9",
                "image_size": "2K",
                "delivery": "inline",
            }
        ],
        "background": True,
        "store": True,
    }


def test_generate_content_has_fields_of_its_own(
    server: ScriptedServer, generate: Generate
) -> None:
    backend = connect(server, **CONTENT)
    server.answer = lambda _: json_reply(answer(part(RESULT), finishReason="STOP"))
    backend.generate(
        ImageJob(
            number=1,
            prompt="a fox",
            size=Size(1024, 1024),
            images=(photo(),),
            options={"aspect_ratio": "auto", "seed": 7, "thinking_level": "high"},
            timeout=60,
        ),
        RecordingContext(),
    )
    backend.close()

    (body,) = bodies(server, f"/v1beta/models/{MODEL}:generateContent")
    assert body["generationConfig"] == {
        "responseModalities": ["IMAGE"],
        "imageConfig": {"imageSize": "1K"},
        "seed": 7,
        "thinkingConfig": {"thinkingLevel": "high"},
    }
    assert body["contents"] == [
        {
            "role": "user",
            "parts": [
                {"text": "a fox"},
                {"inlineData": {"mimeType": "image/png", "data": encoded(PHOTO)}},
            ],
        }
    ]


def test_a_model_of_one_image_size_is_not_told_it(
    server: ScriptedServer, generate: Generate
) -> None:
    generate(DONE, model="gemini-3.1-flash-lite-image", size=Size(848, 1264))

    (body,) = bodies(server, "/v1beta/interactions")
    assert body["response_format"] == [
        {"type": "image", "aspect_ratio": "2:3", "delivery": "inline"}
    ]


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        ("image_size", "512", "Use one of 1K, 2K, 4K."),
        ("aspect_ratio", "7:5", "Use one of 1:1,"),
        ("thinking_level", "endless", "--set"),
        ("aspect_ration", "1:1", "Parameters for --set: aspect_ratio,"),
    ],
)
def test_a_value_that_the_model_does_not_have_is_not_sent(
    server: ScriptedServer, name: str, value: str, hint: str
) -> None:
    backend = connect(server)
    wanted = ImageJob(
        number=1,
        prompt="a fox",
        size=Size(1024, 1024),
        options={name: value},
        timeout=60,
    )
    with pytest.raises(InvalidRequest) as refused:
        backend.generate(wanted, RecordingContext())
    backend.close()

    assert hint in refused.value.hint
    assert server.requests == []


# Images


def test_a_thought_is_no_result_and_the_last_image_is_the_first(
    generate: Generate,
) -> None:
    reply = answer(part(DRAFT, thought=True), part(FIRST), part(RESULT))
    made = generate(json_reply({**reply, "modelVersion": MODEL}), options=CONTENT)

    assert [image.content for image in made.images] == [RESULT, FIRST]
    assert made.model == MODEL


def test_an_interaction_that_ended_early_keeps_its_image(generate: Generate) -> None:
    steps = [{"type": "thought", "content": output(DRAFT)["content"]}, output(RESULT)]
    made = generate(json_reply(interaction("incomplete", steps=steps)))

    assert [image.content for image in made.images] == [RESULT]
    assert made.images[0].warnings == ("Gemini ended the image early (incomplete)",)


def test_an_image_that_is_elsewhere_is_downloaded(
    server: ScriptedServer, generate: Generate
) -> None:
    image = {"type": "image", "uri": f"{server.url}/v1beta/files/one"}
    steps = [{"type": "model_output", "content": [image]}]
    made = generate(
        json_reply(interaction(steps=steps)), Reply(status=200, content=RESULT)
    )

    assert [image.content for image in made.images] == [RESULT]


def test_an_answer_without_an_id_is_the_result(generate: Generate) -> None:
    made = generate(json_reply({"status": "completed", "steps": [output(RESULT)]}))

    assert [image.content for image in made.images] == [RESULT]


def test_an_image_is_fetched_later_by_the_id_of_its_interaction(
    server: ScriptedServer, generate: Generate
) -> None:
    context, job = (
        RecordingContext(),
        ImageJob(number=1, prompt="a fox", size=Size(1024, 1024), timeout=60),
    )
    running = json_reply(interaction("queued"))
    server.answer = lambda request: (
        running if request.method == "POST" else Reply(status=401)
    )
    backend = connect(server)
    with pytest.raises(Unfinished):
        backend.generate(job, context)
    server.answer = lambda _: DONE
    made = backend.resume(job, context.references[0], RecordingContext())
    backend.close()

    assert [image.content for image in made.images] == [RESULT]
    assert len(server.sent("POST", "/")) == 1


# Money


def test_the_cost_follows_from_the_tokens(generate: Generate) -> None:
    usage = {
        "total_input_tokens": 1130,
        "input_tokens_by_modality": [
            {"modality": "text", "tokens": 10},
            {"modality": "image", "tokens": 1120},
        ],
        "total_output_tokens": 1700,
        "total_thought_tokens": 120,
        "output_tokens_by_modality": [{"modality": "image", "tokens": 1680}],
    }
    made = generate(json_reply(interaction(steps=[output(RESULT)], usage=usage)))

    cost = calculate_cost(look_up_price("google", MODEL, {}), made.used)
    assert made.used.tokens == {
        "input_text": 10,
        "input_image": 1120,
        "output_text": 140,
        "output_image": 1680,
    }
    assert cost.micros == round(1130 * 1.5 + 140 * 7.5 + 1680 * 30)
    assert cost.source == "metered"


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({}, None),
        ({"promptTokenCount": 6}, None),
        (
            {"promptTokenCount": 6, "candidatesTokenCount": 1120},
            {"input_text": 6, "input_image": 0, "output_text": 0, "output_image": 1120},
        ),
    ],
)
def test_an_image_never_counts_as_text(
    generate: Generate, usage: Mapping[str, int], tokens: Mapping[str, int] | None
) -> None:
    reply = {**answer(part(RESULT)), "usageMetadata": usage}

    assert generate(json_reply(reply), options=CONTENT).used == Used(tokens=tokens)
