"""The capabilities of a backend: plain data that a plan is checked against."""

from collections.abc import Mapping

import msgspec

from imagen.domain.money.price import ListedPrice
from imagen.domain.reference import ReferenceLimits
from imagen.domain.size import SizeRule


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a request that one backend instance supports.

    Attributes:
        model: The default model, one of `models` unless that is empty; "" if the model
            has no name.
        models: The models that `--model` accepts; empty: none; None: any name.
        sizes: The supported sizes.
        largest_seed: The largest supported seed, at least 1; None: seeds are not
            supported.
        negative: Whether a negative prompt is supported.
        steps: Whether the number of steps can be set.
        largest_batch: Maximum number of images in one call, at least 1.
        default_batch: Number of images that a call makes if none is requested, such as
            the batch size of a workflow.
        formats: Media types that can be requested, the default first; empty: the
            format cannot be requested.
        parameters: Backend parameters that `--set` accepts, each with a short
            description; None: any, passed on without a check.
        references: Maximum number of reference images; 0: not supported.
        orientation: Whether reference images are known to be turned as their EXIF
            orientation says; otherwise those that need it are sent upright.
        reference_limits: What a reference image must be; what is not is converted
            where that loses nothing, and refused otherwise.
        mask: Whether a mask for the first reference image is supported.
        mask_limits: The same for the mask.
        live: Whether previews of the unfinished image are supported.
        provider: The vendor's name in the price table; "" for none.
        prices: Prices that the vendor itself publishes for its models; a model that is
            not among them is looked up in the price table.
        may_cost: Whether a call may cost money; if False, every reported cost is 0.
        output_type: Media type of what the model returns, if that is known and cannot
            be converted: `image/svg+xml`, or one of a video; "" otherwise.
        timeout: Seconds for one image, if neither the request nor the instance sets
            them: no less than the vendor itself may take; None for imagen's default.
    """

    model: str = ""
    models: tuple[str, ...] | None = ()
    sizes: SizeRule = SizeRule()
    largest_seed: int | None = None
    negative: bool = False
    steps: bool = False
    largest_batch: int = 1
    default_batch: int = 1
    formats: tuple[str, ...] = ()
    parameters: Mapping[str, str] | None = {}
    references: int = 0
    orientation: bool = False
    reference_limits: ReferenceLimits = ReferenceLimits()
    mask: bool = False
    mask_limits: ReferenceLimits = ReferenceLimits()
    live: bool = False
    provider: str = ""
    prices: tuple[ListedPrice, ...] = ()
    may_cost: bool = True
    output_type: str = ""
    timeout: float | None = None
