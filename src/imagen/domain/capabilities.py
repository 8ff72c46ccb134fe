"""What a backend says it can do: plain data, compared with every request."""

from collections.abc import Mapping

import msgspec

from imagen.domain.size import SizeRule


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What one backend instance understands of a request.

    Attributes:
        model: What it uses unless told otherwise, one of `models` if there are any;
            "" when it has no name for it.
        models: What `--model` may choose; empty: nothing to choose; None: any name.
        sizes: The sizes that it makes.
        largest_seed: The highest seed that it takes, at least 1; None: it understands
            none.
        negative: Whether it can keep things out of the picture.
        steps: Whether the number of steps can be chosen.
        largest_batch: Images that one call can return, at least 1.
        formats: Media types that it can be asked for; the first is what it sends
            unasked. Empty: it cannot be asked.
        parameters: Parameters of its own that `--set` may name, each with a word
            on what it does; None: any, they are passed on unseen.
        references: How many reference images it takes; 0: none.
        mask: Whether it takes a mask, which says what of the first one to paint anew.
        live: Whether it can send pictures of an image while it makes it.
        provider: Who charges for it, as the price table calls them; "" for nobody.
        may_cost: Whether a call may cost money; if not, no cost is ever reported but 0.
    """

    model: str = ""
    models: tuple[str, ...] | None = ()
    sizes: SizeRule = SizeRule()
    largest_seed: int | None = None
    negative: bool = False
    steps: bool = False
    largest_batch: int = 1
    formats: tuple[str, ...] = ()
    parameters: Mapping[str, str] | None = {}
    references: int = 0
    mask: bool = False
    live: bool = False
    provider: str = ""
    may_cost: bool = True
