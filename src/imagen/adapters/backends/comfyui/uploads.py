"""Reference images and masks: their names on the server, and the requests to upload.

The names follow from the contents. So a workflow is filled without a request, a
repeated job finds its files, and a lost job is recognised by its workflow.
"""

from collections.abc import Mapping

import msgspec

from imagen.adapters.backends.comfyui.graph import NodeInput
from imagen.adapters.backends.comfyui.workflow import Workflow
from imagen.adapters.remote.vendor import Exchange, HttpRequest
from imagen.domain.errors import BackendError
from imagen.domain.job import ImageJob
from imagen.domain.media import EXTENSIONS
from imagen.domain.reference import ReferenceImage

FOLDER = "imagen"
"""The folder for uploads in the server's folder for input images."""

UPLOAD_TIMEOUT = 120.0


class _Stored(msgspec.Struct, frozen=True):
    name: str
    subfolder: str = ""


def assign_images(workflow: Workflow, job: ImageJob) -> dict[NodeInput, object]:
    """Return the values of the inputs for the job's images and its mask."""
    values: dict[NodeInput, object] = {
        target: f"{FOLDER}/{_name_image(image)}"
        for target, image in zip(workflow.bindings.image, job.images, strict=False)
    }
    for target in workflow.bindings.mask if job.mask else ():
        values[target] = f"{FOLDER}/{_name_mask(workflow, job, target)}"
        channel = NodeInput(target.node, "channel")
        if workflow.graph.value(channel) is not None:
            values[channel] = "alpha"  # LoadImageMask: transparent is repainted
    return values


def upload_images(workflow: Workflow, job: ImageJob) -> Exchange[None]:
    """Yield the requests that upload the job's images and its mask.

    Raises:
        BackendError: the server stored a file under another name.
    """
    for image in {image.content_sha256: image for image in job.images}.values():
        name = _name_image(image)
        response = yield _build_upload("image", image, name)
        _check_name(response.json(_Stored), name)
    for target in workflow.bindings.mask if job.mask else ():
        assert job.mask is not None  # noqa: S101 - for mypy
        name = _name_mask(workflow, job, target)
        if target not in workflow.bindings.image:
            response = yield _build_upload("image", job.mask, name)
            _check_name(response.json(_Stored), name)
            continue
        # LoadImage reads the mask from the transparency of the image. The server
        # makes that file, once: another job may read it at this moment.
        query = {"filename": name, "subfolder": FOLDER, "type": "input"}
        try:
            yield HttpRequest(method="HEAD", path="view", query=query)
        except BackendError:
            original = _find_original(workflow, job, target)
            response = yield _build_upload(
                "mask", job.mask, name, original_ref=_encode(original), overwrite="true"
            )
            _check_name(response.json(_Stored), name)


def _name_image(image: ReferenceImage) -> str:
    return f"{image.content_sha256[:24]}.{EXTENSIONS.get(image.media_type, 'png')}"


def _name_mask(workflow: Workflow, job: ImageJob, target: NodeInput) -> str:
    assert job.mask is not None  # noqa: S101 - for mypy
    if target not in workflow.bindings.image:
        return _name_image(job.mask)
    original = _find_original(workflow, job, target)["filename"]
    stem = original.replace("/", "-").rpartition(".")[0]
    return f"{stem}-{job.mask.content_sha256[:24]}.png"


def _find_original(
    workflow: Workflow, job: ImageJob, target: NodeInput
) -> Mapping[str, str]:
    """Return the file that gets the mask: the job's image, or that of the workflow."""
    position = workflow.bindings.image.index(target)
    if position < len(job.images):
        name = _name_image(job.images[position])
        return {"filename": name, "subfolder": FOLDER, "type": "input"}
    name = str(workflow.graph.value(target))
    return {"filename": name, "subfolder": "", "type": "input"}


def _build_upload(
    kind: str, image: ReferenceImage, name: str, **fields: str
) -> HttpRequest:
    """Return the request for `/upload/image` or `/upload/mask`."""
    return HttpRequest(
        method="POST",
        path=f"upload/{kind}",
        files=[("image", (name, image.content, image.media_type))],
        form={**fields, "subfolder": FOLDER},
        timeout=UPLOAD_TIMEOUT,
        note="uploading",
    )


def _encode(fields: Mapping[str, str]) -> str:
    return msgspec.json.encode(fields).decode()


def _check_name(stored: _Stored, name: str) -> None:
    if (stored.name, stored.subfolder) != (name, FOLDER):
        raise BackendError(
            f"ComfyUI stored the upload {FOLDER}/{name} as"
            f" {stored.subfolder}/{stored.name}.",
            hint=f"Delete the other file of that name from its folder input/{FOLDER}.",
        )
