"""The body of a request in a dialect."""

from base64 import b64encode
from collections.abc import Iterator, Mapping

import msgspec

from imagen.adapters.backends.openai.dialect import Dialect, Images, write_field
from imagen.adapters.remote.json_values import as_mapping
from imagen.adapters.remote.vendor import FormFile
from imagen.domain.errors import InvalidRequest
from imagen.domain.job import ImageJob
from imagen.domain.reference import ReferenceImage


def build_body(job: ImageJob, dialect: Dialect, *, model: str) -> dict[str, object]:
    """Return the fields of a request, without images.

    Raises:
        InvalidRequest: a parameter, its value or the prompt is invalid.
    """
    ratio, tier = dialect.sizes.named.get(job.size, ("", ""))
    default = "" if dialect.any_format else (*dialect.formats, "")[0]
    values: dict[str, object] = {
        "prompt": job.prompt,
        "model": model,
        "count": job.count,
        "size": str(job.size),
        "width": job.size.width,
        "height": job.size.height,
        "ratio": ratio,
        "tier": tier,
        "seed": job.seed,
        "steps": job.steps,
        "negative": job.negative,
        "format": (job.media_type or "").removeprefix("image/") or default,
    }
    body: dict[str, object] = {}
    for name, field in dialect.fields.items():
        if values[name] is not None and values[name] != "":
            write_field(body, field, values[name])
    if dialect.response_format:
        body["response_format"] = dialect.response_format
    body |= dialect.always
    for name, value in job.options.items():
        write_field(body, _check_option(dialect, name, value), value)
    return _move_into_prompt(body, dialect)


def _check_option(dialect: Dialect, name: str, value: object) -> str:
    """Return the field of a parameter, whose value is valid."""
    if dialect.options is None:
        return name
    if (option := dialect.options.get(name)) is None:
        known = ", ".join(dialect.options) or "none"
        raise InvalidRequest(
            f"{dialect.title} has no parameter {name!r}.",
            hint=f"Parameters for --set: {known}.",
        )
    option.check(name, value)
    return option.field or name


def _move_into_prompt(body: dict[str, object], dialect: Dialect) -> dict[str, object]:
    """Return the body with what the service reads in the prompt."""
    negative, tagged = body.pop("|", ""), body.pop("@", {})
    prompt, signs = str(body["prompt"]), ["|"] if "|" in dialect.fields.values() else []
    signs += [f"<{dialect.tag}>", f"</{dialect.tag}>"] if dialect.tag else []
    encoded = msgspec.json.encode(tagged).decode()
    for sign in signs:
        if sign in prompt or sign in f"{negative}{encoded}":
            raise InvalidRequest(
                f"{dialect.title} reads {sign!r} in a prompt in its own way.",
                hint="Leave it out of the prompt and the negative prompt.",
            )
    if negative:
        prompt = f"{prompt}|{negative}"
    if tagged:
        prompt = f"{prompt} <{dialect.tag}>{encoded}</{dialect.tag}>"
    return {**body, "prompt": prompt}


def flatten(body: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Return the fields of a form; those within objects as `name[inner]`."""
    for name, value in body.items():
        path = f"{prefix}[{name}]" if prefix else name
        if inner := as_mapping(value):
            yield from flatten(inner, path)
        else:
            plain = value if isinstance(value, str) else msgspec.json.encode(value)
            yield path, plain if isinstance(plain, str) else plain.decode()


def build_files(job: ImageJob, images: Images) -> Iterator[tuple[str, FormFile]]:
    """Return the reference images and the mask as files of a form."""
    for image in job.images:
        yield images.field, (image.name, image.content, image.media_type)
    if (mask := job.mask) is not None:
        if images.mask == "white":
            from imagen.adapters.imaging.masks import paint_mask  # noqa: PLC0415 - Pillow

            mask = paint_mask(mask, white=True)
        yield "mask", (mask.name, mask.content, mask.media_type)


def add_images(body: dict[str, object], job: ImageJob, images: Images) -> None:
    """Add the reference images to a body that is sent as JSON."""
    values = [_encode(image, images.form) for image in job.images]
    is_one = images.form == "uri" or (images.one and len(values) == 1)
    field = images.one if images.one and is_one else images.field
    write_field(body, field, values[0] if is_one else values)


def _encode(image: ReferenceImage, form: str) -> object:
    text = b64encode(image.content).decode()
    uri = f"data:{image.media_type};base64,{text}"
    match form:
        case "base64":
            return text
        case "objects":
            return {"url": uri, "type": "image_url"}
        case _:
            return uri
