"""What the routes share: the backends, the accounts, and the threads that work."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import TypeVar

import msgspec

from imagen import bootstrap
from imagen.bootstrap import Accounts, Wish
from imagen.domain.events import Listener, unheard
from imagen.domain.request import GenerationRequest
from imagen.domain.result import GenerationReport
from imagen.ports.backend import CloseableBackend, ImageBackend
from imagen.server.lane import Lane
from imagen.settings.environment import Environment
from imagen.settings.model import BackendSettings, Settings
from imagen.usecases.cancellation import Cancellation
from imagen.usecases.generate import GenerateImages

Result = TypeVar("Result")

AskFor = Callable[[GenerateImages], GenerationRequest]
"""Says what is asked for, once it is known who makes it; called in a thread."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody wants made.

    Attributes:
        backend: The instance that makes it.
        ask: Says what.
        count: How many images.
        caller: Who wants it.
        wish: Where the files go.
        listen: Hears what happens, from any thread.
    """

    backend: str
    ask: AskFor
    count: int = 1
    caller: str = ""
    wish: Wish = Wish()
    listen: Listener = unheard


class Workshop:
    """Carries out orders, so many at once for each backend.

    Args:
        settings: The config.
        environment: Where secrets are.
    """

    def __init__(self, settings: Settings, *, environment: Environment) -> None:
        self.settings = settings
        self.environment = environment
        self.accounts: Accounts = bootstrap.open_accounts(environment)
        self.caller = bootstrap.find_caller(environment)
        limits = settings.serve
        self.lanes = {
            name: Lane(name, at_once=limits.concurrency, waiting=limits.queue)
            for name in settings.backends
        }
        self._pool = ThreadPoolExecutor(
            limits.concurrency * len(self.lanes) + _SPARE_THREADS, "imagen"
        )
        self._backends: dict[str, ImageBackend] = {}
        self._lock = Lock()

    async def carry_out(
        self, order: Order, cancellation: Cancellation
    ) -> GenerationReport:
        """Have it made, once it is its turn, and return what became of it.

        Raises:
            Failure: too many wait for the backend.
            ImagenError: as `GenerateImages.run` does.
        """
        async with self.lanes[order.backend]:
            return await self.in_thread(lambda: self._make(order, cancellation))

    async def in_thread(self, work: Callable[[], Result]) -> Result:
        """Do what blocks, and let the others go on meanwhile."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, work)

    def find(self, name: str | None) -> BackendSettings:
        """Return an instance of the config, or its default one.

        Raises:
            InvalidRequest: there is none of that name.
        """
        return bootstrap.find_backend(self.settings, name)

    def backend(self, name: str) -> ImageBackend:
        """Return the one that is shared by all orders, built when first asked for."""
        with self._lock:
            if name not in self._backends:
                self._backends[name] = bootstrap.build_backend(
                    self.find(name), environment=self.environment
                )
            return self._backends[name]

    def close(self) -> None:
        """Let go of connections and of the database."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        for backend in self._backends.values():
            if isinstance(backend, CloseableBackend):
                backend.close()
        self.accounts.close()

    def _make(self, order: Order, cancellation: Cancellation) -> GenerationReport:
        use_case = bootstrap.build_generate(
            self.settings,
            self.find(order.backend),
            self.backend(order.backend),
            environment=self.environment,
            accounts=self.accounts,
            wish=order.wish,
            count=order.count,
            listen=order.listen,
            caller=order.caller,
        )
        return use_case.run(order.ask(use_case), cancellation=cancellation)


_SPARE_THREADS = 8
"""For what is quick, such as looking something up."""
