"""The functions `generate`, `agenerate`, `estimate`, `inspect`, `rerun` and `sweep`."""

from os import PathLike, fspath
from typing import Unpack, overload

from imagen.api.parameters import (
    ConfiguredParameters,
    ConfiguredRerunArguments,
    Parameters,
    SweepArguments,
    check_names,
    document,
)
from imagen.api.results import Image, Images, Sweep
from imagen.api.studio import AnyImage, Studio
from imagen.bootstrap.library import inspect_image
from imagen.bootstrap.runtime import Runtime
from imagen.domain.estimate import Estimate
from imagen.domain.inspection import Inspection
from imagen.settings.environment import process_environment


@overload
def generate(
    prompt: str, *, count: None = None, **parameters: Unpack[ConfiguredParameters]
) -> Image: ...
@overload
def generate(
    prompt: str, *, count: int, **parameters: Unpack[ConfiguredParameters]
) -> Images: ...
@document(ConfiguredParameters)
def generate(
    prompt: str, *, count: int | None = None, **parameters: Unpack[ConfiguredParameters]
) -> Image | Images:
    """Generate an image from the prompt and store it; with `count`, a list of images.

    Works in scripts, in notebooks and from several threads.

    Args:
        prompt: The description of the image.
        count: The number of images; their seeds count up from the first.
        parameters: The fields of `imagen.api.parameters.Parameters`.

    Returns:
        The image; with `count` the images, a list of one for `count=1`. Without it, a
        ComfyUI workflow makes its own batch, and the other images are in `extras`.

    Raises:
        SomeImagesFailed: some of several images failed; it has the others.
        NotAsRequested: with `strict`, the stored image is another; it has the image.
        ImagenError: another error; each kind has its own class.
    """
    with Studio(config=parameters.pop("config", None)) as studio:
        return studio._generate(prompt, count, parameters)  # noqa: SLF001 - same package


@overload
async def agenerate(
    prompt: str, *, count: None = None, **parameters: Unpack[ConfiguredParameters]
) -> Image: ...
@overload
async def agenerate(
    prompt: str, *, count: int, **parameters: Unpack[ConfiguredParameters]
) -> Images: ...
@document(ConfiguredParameters)
async def agenerate(
    prompt: str, *, count: int | None = None, **parameters: Unpack[ConfiguredParameters]
) -> Image | Images:
    """Do the same as `generate` in async code; cancelling the task cancels the job."""
    with Studio(config=parameters.pop("config", None)) as studio:
        return await studio._agenerate(prompt, count, parameters)  # noqa: SLF001 - same package


@document(Parameters)
def estimate(
    prompt: str,
    *,
    count: int | None = None,
    config: str | PathLike[str] | None = None,
    **parameters: Unpack[Parameters],
) -> Estimate:
    """Return what `generate` would send and what it would cost; send nothing.

    Raises:
        ImagenError: an error that `generate` would raise before it sends anything.
    """
    with Studio(config=config) as studio:
        return studio.estimate(prompt, count=count, **parameters)


def inspect(image: str | PathLike[str]) -> Inspection:
    """Return how an image was made, by its metadata, its sidecar and the history.

    Args:
        image: A path, an id, a unique prefix of an id, or `"last"`.

    Raises:
        InvalidRequest: there is no such image, or its format is unknown.
        JournalError: the history cannot be read, and is needed.
    """
    with Runtime(process_environment()) as runtime:
        return inspect_image(runtime, fspath(image))


@overload
def rerun(
    image: AnyImage,
    *,
    count: None = None,
    **parameters: Unpack[ConfiguredRerunArguments],
) -> Image: ...
@overload
def rerun(
    image: AnyImage, *, count: int, **parameters: Unpack[ConfiguredRerunArguments]
) -> Images: ...
@document(ConfiguredRerunArguments, defaults=False)
def rerun(
    image: AnyImage,
    *,
    count: int | None = None,
    **parameters: Unpack[ConfiguredRerunArguments],
) -> Image | Images:
    """Generate an image again; with `count`, a list of images.

    Reads the parameters from its sidecar, else from the history, else from the
    metadata that imagen or another tool wrote into the file. A parameter that is not
    given stays the same. What cannot be reproduced is listed in the `warnings` of the
    new sidecar; with `strict` it is an error. The default backend is the one that made
    the image, else one of the same adapter, else the default of the config.

    Args:
        image: A path, an id, a unique prefix of an id, `"last"`, or an `Image`.
        count: The number of images; their seeds count up from the first.
        parameters: The fields of `imagen.api.parameters.RerunArguments`.

    Raises:
        InvalidRequest: there is no such image, its parameters are unknown, or a
            reference image is not found.
        SomeImagesFailed: some of several images failed; it has the others.
        NotAsRequested: with `strict`, the stored image is another; it has the image.
        ImagenError: another error; each kind has its own class.
    """
    with Studio(config=parameters.pop("config", None)) as studio:
        return studio._rerun(image, count, parameters)  # noqa: SLF001 - same package


@document(SweepArguments)
def sweep(
    prompt: str,
    *,
    config: str | PathLike[str] | None = None,
    **parameters: Unpack[SweepArguments],
) -> Sweep:
    """Generate every combination of the given values, and a contact sheet.

    One value or a list of values is accepted for backend, model, style, size, seed and
    steps, and for each parameter in `set`. Seeds and steps can also be text such as
    `"1..4,9"`. `max_cost` limits the cost of the whole sweep.

    Example:
        >>> import imagen
        >>> imagen.sweep("a fox", seed="1..4", steps=[4, 8])  # doctest: +SKIP

    Args:
        prompt: The description of the images.
        config: The config file; None uses the same file as the command line.
        parameters: The fields of `imagen.api.parameters.SweepArguments`.

    Raises:
        SomeImagesFailed: some images failed; it has the others, and they are on the
            contact sheet; or the images are stored, and the contact sheet is not.
        ImagenError: another error; nothing was sent.
    """
    check_names("sweep", parameters, SweepArguments)
    with Studio(config=config) as studio:
        return studio._sweep(prompt, parameters)  # noqa: SLF001 - same package
