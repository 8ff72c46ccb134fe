"""How an image was made, as a request to make it again."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TypeAlias

import msgspec

from imagen.domain.capabilities import Capabilities
from imagen.domain.errors import InvalidRequest
from imagen.domain.fit import Fit
from imagen.domain.instance import Instance
from imagen.domain.metadata.embedded import EmbeddedMetadata, Recipe
from imagen.domain.reference import ReferenceImage
from imagen.domain.request import DroppedParameters, GenerationRequest
from imagen.domain.sidecar import Change, Reference, Sidecar
from imagen.domain.size import Size
from imagen.domain.style import Style
from imagen.formats.container import ImageFacts

CapabilitiesOf: TypeAlias = Callable[[str], Capabilities]
"""What a backend can do with a model; with "" with its own."""

_OWN = "set."
"""Before a parameter of a backend's own that is called like one of ours."""
_OURS = frozenset(
    {"fit", "images", "mask", "model", "negative", "prompt", "seed", "size", "steps"}
)
_NOTHING_TO_CARRY = ("version", "hash", "software", "app", "source", "request_type")
_MOST_NAMED = 8


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    """How an image was made, as far as somebody says.

    Attributes:
        said_by: Who says so: `imagen`, or another tool.
        backend: The instance that made it; "" when that is not known.
        adapter: Of that instance; or what it would be called for another tool.
        prompt: As it was given.
        sent: After the style, where that is something else.
        style: The name of the style, which has had its say.
        asked_for_model: Whether the model was chosen for this image.
        steps: That were asked for.
        own_steps: That the backend took of itself.
        options: Parameters of the backend's own.
        references: The images that it was made from.
        mask: The one that said where the first of them is painted anew.
        others: What else is said, and imagen has no word for.
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
    other_parameters: tuple[str, ...] = ()


class Overrides(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be different this time; None leaves it as it was.

    Attributes:
        seed: 0 draws one.
        steps: 0 is the backend's own number.
        options: Beside those that there were, or in their place.
        images: In place of the references that there were.
        max_cost: Micro-dollars.
    """

    count: int = 1
    seed: int | None = None
    steps: int | None = None
    size: Size | None = None
    model: str | None = None
    options: Mapping[str, object] = {}
    images: tuple[ReferenceImage, ...] | None = None
    mask: ReferenceImage | None = None
    fit: Fit | None = None
    timeout: float | None = None
    strict: bool = False
    max_cost: int | None = None


def provenance_from_sidecar(note: Sidecar) -> Provenance:
    """Return how an image was made, by imagen's own note.

    Raises:
        InvalidRequest: the note makes no sense.
    """
    applied, adjusted = note.applied, note.adjusted
    asked_steps = applied.get("steps")
    if change := adjusted.get("steps"):
        asked_steps = change.requested
    fit, images, mask = applied.get("fit"), note.references, None
    if images and "mask" in applied:
        *others, mask = images
        images = tuple(others)
    try:
        return Provenance(
            source="imagen",
            backend=note.backend,
            adapter=note.adapter,
            prompt=note.prompt,
            prompt_sent="" if note.prompt_sent == note.prompt else note.prompt_sent,
            negative=note.negative,
            style=note.style,
            size=Size.parse(note.requested_size),
            seed=note.seed,
            steps=asked_steps if isinstance(asked_steps, int) else 0,
            default_steps=note.steps or 0,
            model=note.model,
            model_requested="model" in applied,
            options={
                name.removeprefix(_OWN): value
                for name, value in applied.items()
                if name not in _OURS
            },
            references=images,
            mask=mask,
            fit=Fit(fit) if isinstance(fit, str) else None,
        )
    except ValueError as error:
        raise InvalidRequest(
            f"The note of image {note.id} makes no sense: {error}"
        ) from error


def provenance_from_file(making: EmbeddedMetadata) -> Provenance | None:
    """Return how an image was made, by what its file says; None if it says nothing."""
    told = [each for each in making.recipes if each.prompt]
    if not told:
        return None
    recipe = told[0]
    if recipe.sidecar is not None:
        return provenance_from_sidecar(recipe.sidecar)
    return Provenance(
        source=recipe.tool,
        adapter=recipe.tool.lower(),
        prompt=recipe.prompt or "",
        negative=recipe.negative or "",
        size=recipe.size or _size_of(making.facts),
        seed=recipe.seed,
        steps=recipe.steps or 0,
        model=recipe.model or "",
        other_parameters=tuple(_others(recipe)),
    )


def _size_of(facts: ImageFacts) -> Size | None:
    try:
        return Size(facts.width, facts.height)
    except InvalidRequest:
        return None


def _others(recipe: Recipe) -> Sequence[str]:
    said: dict[str, object] = {"sampler": recipe.sampler, "guidance": recipe.guidance}
    named = [f"{name} {value}" for name, value in said.items() if value is not None]
    return named + [
        name
        for name in recipe.parameters
        if not any(word in name.lower() for word in _NOTHING_TO_CARRY)
    ]


def choose_backend(
    provenance: Provenance, instances: Mapping[str, Instance], *, default: str
) -> tuple[str, Change | None]:
    """Return which backend makes it again, and in whose place if it is another one.

    The instance that made it, if the config still has it; else one of the same
    adapter, the default one before others; else the default.
    """
    there = instances.get(provenance.backend)
    if there is not None and there.adapter == provenance.adapter:
        return provenance.backend, None
    kin = [
        name for name, each in instances.items() if each.adapter == provenance.adapter
    ]
    if not provenance.backend and kin:
        return (default if default in kin else kin[0]), None
    used = default if default in kin or not kin else kin[0]
    alike = f", and this one is of {provenance.adapter} too" if kin else ""
    missing = "has none of that name"
    if there is not None:
        missing = f"has {provenance.adapter} no longer under that name"
    return used, Change(
        requested=provenance.backend or provenance.source,
        used=used,
        reason=f"the config {missing}{alike}",
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
    notes: Sequence[str] = (),
) -> GenerationRequest:
    """Return the request that makes the image again, as well as this backend can.

    Args:
        origin: How it was made.
        wishes: What is to be different.
        instance: The backend that makes it now.
        can_of: What that can do.
        images: The references, found again, unless there are others.
        mask: Likewise.
        replaced: In whose place the backend stands, if nobody chose it.
        notes: What else is to be said of it.
    """
    carrying = _ParameterTransfer(provenance, overrides, instance, capabilities_of)
    carrying.notes.extend(notes)
    if replaced is not None:
        carrying.adjusted["backend"] = replaced
    model = carrying.model()
    can = capabilities_of(model) if model else carrying.own
    return GenerationRequest(
        prompt=provenance.prompt,
        prompt_sent=provenance.prompt_sent,
        negative=provenance.negative,
        style=None if provenance.style is None else Style(name=provenance.style),
        size=overrides.size or provenance.size,
        seed=carrying.seed(can),
        steps=carrying.steps(can, model),
        model=model,
        count=overrides.count,
        options=carrying.options(can),
        images=tuple(images) if overrides.images is None else overrides.images,
        mask=overrides.mask or mask,
        fit=overrides.fit or provenance.fit,
        timeout=overrides.timeout,
        strict=overrides.strict,
        max_cost=overrides.max_cost,
        dropped=carrying.lost(),
    )


class _ParameterTransfer:
    """Carries one thing after the other over, and keeps account of what is lost."""

    def __init__(
        self,
        origin: Provenance,
        wishes: Overrides,
        instance: Instance,
        can_of: CapabilitiesOf,
    ) -> None:
        self._origin = origin
        self._wishes = wishes
        self._name = instance.name
        self._can_of = can_of
        self._kin = instance.adapter == origin.adapter
        self._same = self._kin and instance.name == origin.backend
        self.notes: list[str] = []
        self._ignored: dict[str, str] = {}
        self.adjusted: dict[str, Change] = {}

    @cached_property
    def own(self) -> Capabilities:
        """What the backend can do with its own model; it may have none."""
        return self._can_of("")

    def lost(self) -> DroppedParameters:
        origin = self._origin
        if origin.other_parameters:
            named = origin.other_parameters[:_MOST_NAMED]
            more = len(origin.other_parameters) - len(named)
            words = ", ".join(named) + (f" and {more} more" if more else "")
            self.notes.append(
                f"what else {origin.source} says is not carried over: {words}"
            )
        return DroppedParameters(
            ignored=self._ignored, adjusted=self.adjusted, notes=tuple(self.notes)
        )

    def model(self) -> str | None:
        """Return the model to ask for; None is the backend's own."""
        if self._wishes.model is not None:
            return self._wishes.model
        asked = self._origin.model
        if not asked:
            return None
        own, models = self.own.model, self.own.models
        if asked == own:
            return None
        if not self._origin.model_requested and own.partition(":")[0] == asked:
            return None  # a backend reports its model without the version
        if (models is None and self._kin) or (models and asked in models):
            return asked
        self.adjusted["model"] = Change(
            requested=asked,
            used=own or "its own",
            reason=f"{self._name}: it knows no such model",
        )
        return None

    def steps(self, can: Capabilities, model: str | None) -> int:
        if self._wishes.steps is not None:
            return self._wishes.steps
        if self._origin.steps or not (self._same and can.steps):
            return self._origin.steps
        unchanged = (model or can.model) == self._origin.model
        return self._origin.default_steps if unchanged else 0

    def seed(self, can: Capabilities) -> int:
        if self._wishes.seed is not None:
            return self._wishes.seed
        seed = self._origin.seed
        if not seed and can.largest_seed is not None:
            said = "is 0, for which imagen draws another" if seed == 0 else "is unknown"
            self.notes.append(f"the seed {said}, so the image will be another one")
        return seed or 0

    def options(self, can: Capabilities) -> dict[str, object]:
        carried: dict[str, object] = {}
        for name, value in self._origin.options.items():
            if name in self._wishes.options:
                continue
            if self._kin if can.parameters is None else name in can.parameters:
                carried[name] = value
            else:
                self._ignored[name] = f"{self._name}: it knows no such parameter"
        return {**carried, **self._wishes.options}
