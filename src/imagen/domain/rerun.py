"""Reruns: from the metadata of an image to a request that makes it again."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TypeAlias, cast

import msgspec

from imagen.domain.capabilities import Capabilities
from imagen.domain.errors import InvalidRequest
from imagen.domain.fit import Fit
from imagen.domain.instance import Instance, build_default_error
from imagen.domain.metadata.embedded import EmbeddedMetadata, Recipe, parse_size
from imagen.domain.reference import ReferenceImage
from imagen.domain.request import FIELD_NAMES, DroppedParameters, GenerationRequest
from imagen.domain.sidecar import Change, Reference, Sidecar
from imagen.domain.size import Size
from imagen.domain.style import Style, apply_style

CapabilitiesOf: TypeAlias = Callable[[str], Capabilities]
"""Returns the capabilities of a backend with a model; "" is its default model."""

Overrides: TypeAlias = Mapping[str, object]
"""Values of fields of GenerationRequest, by name, that replace those of the source
image. A field that is missing stays the same, and options are added."""

# Prefix of a backend parameter that has the name of a request field.
_OPTION_PREFIX = "set."
# Parameters of other tools whose name contains one of these words describe the tool and
# not the image, so a rerun loses nothing without them.
_IRRELEVANT = ("version", "hash", "software", "app", "source", "request_type")
_MAX_LISTED = 8


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    """The origin of an image, according to its metadata.

    Attributes:
        source: The tool that wrote the metadata: `imagen` or another one.
        backend: Name of the instance; "" if unknown.
        adapter: Adapter of the instance; for another tool, the matching adapter name.
        prompt: The prompt without the style.
        prompt_sent: The prompt with the style applied; "" if it is the same.
        steps: The requested number of steps; 0 for none.
        default_steps: The number of steps that the backend used.
        model_requested: Whether the model was requested rather than the default.
        alone: Whether a run made only this image, although the workflow has a batch.
        other_parameters: Names of parameters that a request cannot express.
    """

    source: str
    backend: str = ""
    adapter: str = ""
    prompt: str
    prompt_sent: str = ""
    negative: str = ""
    style: str | None = None
    size: Size | None = None
    seed: int | None = None
    steps: int = 0
    default_steps: int = 0
    model: str = ""
    model_requested: bool = False
    options: Mapping[str, object] = {}
    references: tuple[Reference, ...] = ()
    mask: Reference | None = None
    fit: Fit | None = None
    fit_upscale: bool = False
    alone: bool = False
    other_parameters: tuple[str, ...] = ()


def provenance_from_sidecar(sidecar: Sidecar) -> Provenance:
    """Return how an image was made according to its sidecar.

    Raises:
        InvalidRequest: the sidecar has invalid values.
    """
    applied, adjusted = sidecar.applied, sidecar.adjusted
    requested_steps = applied.get("steps")
    if change := adjusted.get("steps"):
        requested_steps = change.requested
    fit, images, mask = applied.get("fit"), sidecar.references, None
    if images and "mask" in applied:
        *others, mask = images
        images = tuple(others)
    try:
        return Provenance(
            source="imagen",
            backend=sidecar.backend,
            adapter=sidecar.adapter,
            prompt=sidecar.prompt,
            prompt_sent=""
            if sidecar.prompt_sent == sidecar.prompt
            else sidecar.prompt_sent,
            negative=sidecar.negative,
            style=sidecar.style,
            size=Size.parse(sidecar.requested_size),
            seed=sidecar.seed,
            steps=requested_steps if isinstance(requested_steps, int) else 0,
            default_steps=sidecar.steps or 0,
            model=sidecar.model,
            model_requested="model" in applied,
            options={
                name.removeprefix(_OPTION_PREFIX): value
                for name, value in applied.items()
                if name not in FIELD_NAMES
            },
            references=images,
            mask=mask,
            fit=Fit(fit) if isinstance(fit, str) else None,
            fit_upscale=applied.get("fit_upscale") is True,
            alone="count" in applied,
        )
    except ValueError as error:
        raise InvalidRequest(
            f"The sidecar of image {sidecar.id} has an invalid value: {error}"
        ) from error


def provenance_from_file(metadata: EmbeddedMetadata) -> Provenance | None:
    """Return how an image was made according to its file; None without a prompt."""
    recipe = next((each for each in metadata.recipes if each.prompt), None)
    if recipe is None:
        return None
    if recipe.sidecar is not None:
        return provenance_from_sidecar(recipe.sidecar)
    facts = metadata.facts
    return Provenance(
        source=recipe.tool,
        adapter=recipe.tool.lower(),
        prompt=recipe.prompt or "",
        negative=recipe.negative or "",
        size=recipe.size or parse_size(f"{facts.width}x{facts.height}"),
        seed=recipe.seed,
        steps=recipe.steps or 0,
        model=recipe.model or "",
        other_parameters=tuple(_list_other_parameters(recipe)),
    )


def _list_other_parameters(recipe: Recipe) -> Sequence[str]:
    known: dict[str, object] = {"sampler": recipe.sampler, "guidance": recipe.guidance}
    listed = [f"{name} {value}" for name, value in known.items() if value is not None]
    return listed + [
        name
        for name in recipe.parameters
        if not any(word in name.lower() for word in _IRRELEVANT)
    ]


def choose_backend(
    provenance: Provenance, instances: Mapping[str, Instance], *, default: str | None
) -> tuple[str, Change | None]:
    """Return the backend for the rerun, and the change if it is another one.

    Prefer the original instance, then the default instance if it has the original
    adapter, then any instance with that adapter, then the default instance.

    Raises:
        InvalidRequest: there is no such instance, and no default one.
    """
    original = instances.get(provenance.backend)
    if original is not None and original.adapter == provenance.adapter:
        return provenance.backend, None
    similar = [
        name for name, each in instances.items() if each.adapter == provenance.adapter
    ]
    used = default if default in similar or not similar else similar[0]
    if used is None:
        raise build_default_error(instances)
    if not provenance.backend and similar:
        return used, None
    missing = f"the config has no backend {provenance.backend!r}"
    if not provenance.backend:
        missing = f"the metadata of {provenance.source} names no backend"
    if original is not None:
        missing = f"{provenance.backend} no longer uses {provenance.adapter}"
    same = f"; {used} uses {provenance.adapter} too" if similar else ""
    return used, Change(
        requested=provenance.backend or provenance.source,
        used=used,
        reason=missing + same,
    )


def build_rerun_request(
    provenance: Provenance,
    overrides: Overrides,
    *,
    instance: Instance,
    capabilities_of: CapabilitiesOf,
    images: Sequence[ReferenceImage] = (),
    mask: ReferenceImage | None = None,
    replaced: Change | None = None,
    styles: Mapping[str, Style] = {},
    notes: Sequence[str] = (),
) -> GenerationRequest:
    """Return the request that makes the image again, as closely as the backend can.

    Args:
        images: The original reference images, unless the overrides have others.
        mask: The original mask, unless the overrides have another.
        replaced: The change of the backend, if the user did not choose it.
        styles: The styles that exist now, by name.
    """
    transfer = _ParameterTransfer(provenance, overrides, instance, capabilities_of)
    transfer.notes.extend(notes)
    if replaced is not None:
        transfer.adjusted["backend"] = replaced
    model = transfer.model()
    capabilities = capabilities_of(model) if model else transfer.default_capabilities
    fields: dict[str, object] = {
        "negative": transfer.negative(styles),
        "size": provenance.size,
        "images": tuple(images),
        "mask": mask,
        "fit": provenance.fit,
        "count": 1 if provenance.alone else None,
        **overrides,
        # A switch that is off says nothing about the image.
        "fit_upscale": provenance.fit_upscale or bool(overrides.get("fit_upscale")),
        **transfer.prompt_and_style(styles),
        "model": model,
        "seed": transfer.seed(capabilities),
        "steps": transfer.steps(capabilities, model),
        "options": transfer.options(capabilities),
        "dropped": transfer.dropped(),
    }
    # One call, since a mask is valid only together with an image.
    return msgspec.structs.replace(
        GenerationRequest(prompt=provenance.prompt), **fields
    )


class _ParameterTransfer:
    """Transfers each parameter to the new request, and records what is lost."""

    def __init__(
        self,
        provenance: Provenance,
        overrides: Overrides,
        instance: Instance,
        capabilities_of: CapabilitiesOf,
    ) -> None:
        self._provenance = provenance
        self._overrides = overrides
        self._name = instance.name
        self._capabilities_of = capabilities_of
        self._same_adapter = instance.adapter == provenance.adapter
        self._same_instance = self._same_adapter and instance.name == provenance.backend
        self.notes: list[str] = []
        self._ignored: dict[str, str] = {}
        self.adjusted: dict[str, Change] = {}

    @cached_property
    def default_capabilities(self) -> Capabilities:
        # Looked up only on demand: a backend may have no default model.
        return self._capabilities_of("")

    def dropped(self) -> DroppedParameters:
        provenance = self._provenance
        if provenance.other_parameters:
            listed = provenance.other_parameters[:_MAX_LISTED]
            more = len(provenance.other_parameters) - len(listed)
            names = ", ".join(listed) + (f" and {more} more" if more else "")
            self.notes.append(
                f"other parameters of {provenance.source} are not used: {names}"
            )
        return DroppedParameters(
            ignored=self._ignored, adjusted=self.adjusted, notes=tuple(self.notes)
        )

    def model(self) -> str | None:
        """Return the model to request; None for the backend's default."""
        if isinstance(override := self._overrides.get("model"), str):
            return override
        original = self._provenance.model
        if not original:
            return None
        default = self.default_capabilities.model
        models = self.default_capabilities.models
        if original == default:
            return None
        # A backend reports its default model without the version.
        unversioned = default.partition(":")[0]
        if not self._provenance.model_requested and unversioned == original:
            return None
        if (models is None and self._same_adapter) or (models and original in models):
            return original
        self.adjusted["model"] = Change(
            requested=original,
            used=default or "its own",
            reason=f"{self._name} has no such model",
        )
        return None

    def prompt_and_style(self, styles: Mapping[str, Style]) -> dict[str, object]:
        """Return the prompt, as given and with the style applied, and the style."""
        old, name = self._provenance.prompt, self._provenance.style
        sent, prompt = self._provenance.prompt_sent, self._overrides.get("prompt", old)
        if isinstance(override := self._overrides.get("style"), Style):
            return {"prompt": prompt, "prompt_sent": "", "style": override}
        # The style is applied already, so it only keeps its name.
        style = None if name is None else Style(name=name)
        if prompt != old and sent:
            now = styles.get(name or "")
            if now is not None and apply_style(old, now) == sent:
                sent = apply_style(str(prompt), now)
            elif sent.count(old) == 1:
                sent = sent.replace(old, str(prompt))
            else:
                sent, style = "", None
                self._ignored["style"] = "the image does not say how it was applied"
        return {"prompt": prompt, "prompt_sent": sent, "style": style}

    def negative(self, styles: Mapping[str, Style]) -> str:
        """Return the negative prompt, without that of a style which is replaced."""
        combined, name = self._provenance.negative, self._provenance.style
        is_kept = "style" not in self._overrides or "negative" in self._overrides
        if is_kept or name is None or not combined:
            return combined
        of_style = styles[name].negative if name in styles else ""
        own = f"{combined}, ".removeprefix(f"{of_style}, ").removesuffix(", ")
        if own == combined:
            self.notes.append(
                f"the negative prompt may have that of the style {name} in it"
            )
        return own

    def steps(self, capabilities: Capabilities, model: str | None) -> int:
        if isinstance(override := self._overrides.get("steps"), int):
            return override
        requested = self._provenance.steps
        if requested or not (self._same_instance and capabilities.steps):
            return requested
        unchanged = (model or capabilities.model) == self._provenance.model
        return self._provenance.default_steps if unchanged else 0

    def seed(self, capabilities: Capabilities) -> int:
        if isinstance(override := self._overrides.get("seed"), int):
            return override
        seed = self._provenance.seed
        if not seed and capabilities.largest_seed is not None:
            problem = "is unknown" if seed is None else "is 0, which means a random one"
            self.notes.append(f"the seed {problem}, so the image will be different")
        return seed or 0

    def options(self, capabilities: Capabilities) -> dict[str, object]:
        kept: dict[str, object] = {}
        known = capabilities.parameters
        added = cast("Mapping[str, object]", self._overrides.get("options", {}))
        for name, value in self._provenance.options.items():
            if name in added:
                continue
            if self._same_adapter if known is None else name in known:
                kept[name] = value
            else:
                self._ignored[name] = f"{self._name} has no such parameter"
        return {**kept, **added}
