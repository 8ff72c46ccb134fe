"""The meaning of an answer of `generateContent`, and of an interaction.

Both are read value by value: an unexpected type must not lose a paid image.
"""

from base64 import b64decode
from collections.abc import Iterable, Mapping, Sequence

from imagen.adapters.backends.gemini.errors import describe_failure
from imagen.adapters.backends.gemini.tokens import count_tokens
from imagen.adapters.remote.json_values import as_line, as_list, as_mapping
from imagen.adapters.remote.vendor import (
    JobFailed,
    JobOutput,
    JobRunning,
    JobStatus,
    JobSucceeded,
    UnreadableResponse,
)
from imagen.domain.consumption import Used

_LONGEST_TEXT = 300
"""Characters of a text that the model wrote in place of an image."""

_FINISHED = {"", "STOP", "completed"}
_ENDED = {
    *("completed", "failed", "cancelled", "incomplete", "requires_action"),
    *("budget_exceeded", "idle", "requires_continuation"),
}
"""The statuses of an interaction that does not go on by itself."""


def read_content(body: object, *, server: str) -> JobSucceeded | JobFailed:
    """Return the meaning of an answer of `generateContent`.

    Raises:
        UnreadableResponse: it is another kind of answer.
    """
    answer = as_mapping(body)
    blocked = as_mapping(answer.get("promptFeedback")).get("blockReason")
    candidates = as_list(answer.get("candidates"))
    if not (candidates or blocked):
        raise UnreadableResponse("The response has no candidate.")
    candidate = as_mapping(next(iter(candidates), None))
    parts = [
        part
        for each in as_list(as_mapping(candidate.get("content")).get("parts"))
        # The images of a thought are drafts of the result.
        if (part := as_mapping(each)).get("thought") is not True
    ]
    images = [
        as_mapping(image)
        for part in parts
        if (image := part.get("inlineData") or part.get("inline_data"))
    ]
    usage = as_mapping(answer.get("usageMetadata"))
    used = count_tokens(
        drawn=bool(images),
        sent=usage.get("promptTokenCount"),
        sent_by_kind=usage.get("promptTokensDetails"),
        made=usage.get("candidatesTokenCount"),
        made_by_kind=usage.get("candidatesTokensDetails"),
        thoughts=usage.get("thoughtsTokenCount"),
    )
    return _conclude(
        server,
        [_decode_output(image) for image in images],
        reason=blocked or candidate.get("finishReason"),
        refused=bool(blocked),
        message=candidate.get("finishMessage") or _join_texts(parts),
        model=answer.get("modelVersion"),
        used=used,
    )


def read_interaction(body: object, *, server: str) -> JobStatus:
    """Return the meaning of an interaction.

    Raises:
        UnreadableResponse: it is none.
    """
    answer = as_mapping(body)
    status, reference = answer.get("status"), answer.get("id")
    if not isinstance(status, str):
        raise UnreadableResponse("The response has no status.")
    reference = reference if isinstance(reference, str) else ""
    # A status that is new is taken for one of a job that goes on.
    if status not in _ENDED:
        note = "queued" if status == "queued" else "drawing"
        return JobRunning(note=note, reference=reference)
    steps = map(as_mapping, as_list(answer.get("steps")))
    parts = [
        as_mapping(part)
        for step in steps
        if step.get("type") == "model_output"
        for part in as_list(step.get("content"))
    ]
    images = [part for part in parts if part.get("type") == "image"]
    if not images and (only := as_mapping(answer.get("output_image"))):
        images = [only]
    usage = as_mapping(answer.get("usage"))
    used = count_tokens(
        drawn=bool(images),
        sent=usage.get("total_input_tokens"),
        sent_by_kind=usage.get("input_tokens_by_modality"),
        made=usage.get("total_output_tokens"),
        made_by_kind=usage.get("output_tokens_by_modality"),
        thoughts=usage.get("total_thought_tokens"),
    )
    error = as_mapping(next(iter(as_list(answer.get("errors"))), None))
    return _conclude(
        server,
        [_decode_output(image) for image in images],
        reason=error.get("code") or status,
        refused=False,
        message=error.get("message") or _join_texts(parts),
        model=answer.get("model"),
        used=used,
        reference=reference,
    )


def _conclude(
    server: str,
    outputs: Sequence[JobOutput],
    *,
    reason: object,
    refused: bool,
    message: object,
    model: object,
    used: Used,
    reference: str = "",
) -> JobSucceeded | JobFailed:
    name = as_line(reason, longest=_LONGEST_TEXT)
    words = as_line(message, longest=_LONGEST_TEXT)
    if not outputs:
        shown = "" if name in _FINISHED else name
        error = describe_failure(server, shown, words, refused=refused, used=used)
        return JobFailed(error=error, reference=reference)
    early = f"{server} ended the image early ({name})"
    return JobSucceeded(
        # The last image is the result; those before it are kept as well.
        outputs=(outputs[-1], *outputs[:-1]),
        reference=reference,
        model=model if isinstance(model, str) else "",
        used=used,
        warnings=() if name in _FINISHED else (early,),
    )


def _decode_output(image: Mapping[str, object]) -> JobOutput:
    data, uri = image.get("data"), image.get("uri")
    if isinstance(data, str):
        return JobOutput(content=b64decode(data, validate=True))
    if isinstance(uri, str):
        return JobOutput(url=uri)
    raise UnreadableResponse("An image has no content.")


def _join_texts(parts: Iterable[Mapping[str, object]]) -> str:
    texts = (part.get("text") for part in parts)
    return " ".join(text for text in texts if isinstance(text, str))
