"""List the models of backends: what each costs, what it can do, when it ends."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal

import msgspec

from imagen.domain import events
from imagen.domain.capabilities import Capabilities
from imagen.domain.errors import ImagenError
from imagen.domain.instance import Instance
from imagen.domain.money.price import ListedPrice, Price, estimate_cost
from imagen.domain.shutdown import ShutdownOf
from imagen.engine.job_context import RunningJobContext
from imagen.ports.backend import CheckableBackend, ImageBackend, PerModelBackend
from imagen.ports.clock import Clock
from imagen.usecases.check import LONGEST_CHECK

_AMOUNT = re.compile(r"\$[0-9.]*[0-9]")


class ModelInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A model of a backend.

    Attributes:
        model: Its name for `--model`; "" if it has none.
        default: Whether the backend uses it without `--model`.
        may_cost: Whether a call may cost money.
        price: The price in words; "" if it is unknown or the model is free.
        abilities: What the model supports, in a few words each.
        shutdown: The first day on which it no longer works; None if none is known.
        successor: The model that its vendor recommends instead; "" for none.
    """

    model: str
    default: bool
    may_cost: bool
    price: str
    abilities: tuple[str, ...]
    shutdown: date | None = None
    successor: str = ""


class BackendModels(msgspec.Struct, frozen=True, kw_only=True):
    """The models of one backend.

    Attributes:
        any_model: Whether `--model` takes other names, too.
        problem: Why something could not be found out; "" if all is known.
    """

    backend: str
    adapter: str
    models: tuple[ModelInfo, ...] = ()
    any_model: bool = False
    problem: str = ""


class ListModels(msgspec.Struct, frozen=True, kw_only=True):
    """Describes the models of a backend.

    Attributes:
        prices: The price table.
        shutdown_of: Returns the end of a model.
        refresh: Whether the backend is asked anew for what it was asked before.
    """

    prices: Sequence[ListedPrice]
    shutdown_of: ShutdownOf
    clock: Clock
    refresh: bool = False

    def run(
        self, instance: Instance, build: Callable[[], ImageBackend]
    ) -> BackendModels:
        """Return the models of a backend; an error becomes its `problem`.

        The network is used only for what the backend does not know without it.

        Args:
            build: Returns the backend, which the caller closes.
        """
        found = BackendModels(backend=instance.name, adapter=instance.adapter)
        context = RunningJobContext(
            number=1, clock=self.clock, listen=events.ignore_event
        )
        cancel_alarm = self.clock.after(LONGEST_CHECK, context.expire)
        try:
            return self._describe(found, instance, build(), context)
        except ImagenError as error:
            return msgspec.structs.replace(found, problem=error.explanation)
        finally:
            cancel_alarm()

    def _describe(
        self,
        found: BackendModels,
        instance: Instance,
        backend: ImageBackend,
        context: RunningJobContext,
    ) -> BackendModels:
        stated = backend.capabilities()
        problems: list[str] = []
        if self.refresh and isinstance(backend, CheckableBackend):
            problems += [
                f"{each.name}: {each.note}"
                for each in backend.check(context)
                if not each.ready
            ]
        names = list(dict.fromkeys([stated.model, *(stated.models or ())]))
        models: list[ModelInfo] = []
        for name in names:
            known = stated
            # One failure is enough: the others would have the same cause.
            if isinstance(backend, PerModelBackend) and not problems:
                try:
                    known = backend.capabilities_of(name, context)
                except ImagenError as error:
                    problems.append(error.explanation)
            models.append(self._describe_model(instance, name, stated, known))
        return msgspec.structs.replace(
            found,
            models=tuple(models),
            any_model=stated.models is None,
            problem=problems[0] if problems else "",
        )

    def _describe_model(
        self, instance: Instance, name: str, stated: Capabilities, known: Capabilities
    ) -> ModelInfo:
        provider = stated.provider
        may_cost = known.may_cost or instance.price is not None
        end = self.shutdown_of(provider, name)
        return ModelInfo(
            model=name or known.model,
            default=name == stated.model,
            may_cost=may_cost,
            price=self._price(instance, known, name) if may_cost else "",
            abilities=tuple(describe_abilities(known)),
            shutdown=None if end is None else end.day,
            successor="" if end is None else end.successor,
        )

    def _price(self, instance: Instance, known: Capabilities, model: str) -> str:
        if instance.price is not None:
            return instance.price.words
        name = model.partition(":")[0]
        for table in (known.prices, self.prices):
            lines = [
                line.price
                for line in table
                if (line.provider, line.model) == (known.provider, name)
            ]
            if lines:
                return _join_prices(lines)
        return ""


def _join_prices(tiers: Sequence[Price]) -> str:
    """Return the cheapest price in words, and the most expensive one if it differs."""
    ordered = sorted(tiers, key=_expect_cost)
    low, high = ordered[0].words, ordered[-1].words
    if low == high:
        return low
    first, last = _AMOUNT.search(low), _AMOUNT.search(high)
    if first and last and _AMOUNT.sub("", low) == _AMOUNT.sub("", high):
        return f"{low[: first.end()]} to {last[0]}{low[first.end() :]}"
    return f"{low} to {high}"


def describe_abilities(known: Capabilities) -> Iterator[str]:
    """Yield what a model supports, in a few words each."""
    flags: Mapping[str, bool] = {
        "seed": known.largest_seed is not None,
        "steps": known.steps,
        "negative prompt": known.negative,
    }
    yield from (words for words, has in flags.items() if has)
    if known.largest_batch > 1:
        yield f"{known.largest_batch} images in a call"
    if known.references:
        many = "image" if known.references == 1 else "images"
        yield f"{known.references} reference {many}"
    if known.mask:
        yield "mask"
    if known.live:
        yield "live preview"


def _expect_cost(price: Price) -> tuple[int, Decimal]:
    """Return what to sort by: tiers charged by tokens often differ in tokens alone."""
    expected = estimate_cost(price, images=1, megapixels=1).micros
    return (expected or 0, sum((rate.usd for rate in price.rates), Decimal()))
