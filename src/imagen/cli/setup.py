"""The command `imagen setup`."""

import sys
from collections.abc import Sequence
from getpass import getpass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter  # noqa: TID253 - this is the command line

from imagen.adapters.system.config_file import check_regular
from imagen.adapters.system.installation import format_install_command
from imagen.bootstrap.runtime import Runtime
from imagen.bootstrap.setup import (
    FoundBackend,
    Source,
    check_sources,
    check_typed_key,
    extend_config,
    find_key_option,
    list_sources,
    list_urls,
    sets_default,
    source_of_url,
    write_config,
)
from imagen.cli import exit_codes
from imagen.cli.output import Output, display_path, print_message
from imagen.cli.parameters import ConfigFlag, JsonFlag, keep_path
from imagen.cli.signals import StopSignals
from imagen.cli.tables import Columns, wrap_message
from imagen.domain.errors import Cancelled, Misconfigured, UsageError
from imagen.registry import find_adapter, installed_adapters
from imagen.settings.environment import process_environment
from imagen.settings.load import default_settings, find_config
from imagen.settings.model import MOCK

_INDENT = " " * 5


def setup(
    *,
    yes: Annotated[bool, Parameter(alias="-y")] = False,
    config: ConfigFlag = None,
    json: JsonFlag = False,
) -> int:
    """Find the backends that you have, test them, and write the config file.

    Looks for servers on this machine and for the keys of services in the environment.
    Tests cost nothing. The config gets the names of variables, never a key. If there
    is a config already, backends are added to it and everything else stays. Nothing is
    written before the last question is answered.

    Exits 1 if there is no backend but the mock.

    ```
    imagen setup
    imagen setup --yes
    ```

    Args:
        yes: Ask nothing: add every backend that is ready.
    """
    if not (yes or (sys.stdin.isatty() and sys.stderr.isatty())):
        raise UsageError(
            "`imagen setup` asks questions, and this is not a terminal.",
            hint="Use --yes to add every backend that is ready.",
        )
    environment, out = process_environment(), Output(json=json)
    path, _ = find_config(keep_path(config), environment)
    # A config that is named and does not exist yet is created.
    if exists := path.exists():
        check_regular(path)
    settings = None if exists else default_settings(find_adapter)
    runtime = Runtime(environment, config=str(path), settings=settings)
    try:
        return _Setup(runtime, path, out, exists=exists, ask=not yes).run()
    except (KeyboardInterrupt, EOFError):
        # The cursor is behind a question.
        sys.stderr.write("\n")
        raise Cancelled("Cancelled; nothing was written.", settled=True) from None


class _Setup:
    """One conversation about the backends of a config file."""

    def __init__(
        self, runtime: Runtime, path: Path, out: Output, *, exists: bool, ask: bool
    ) -> None:
        self._runtime = runtime
        self._path = path
        self._out = out
        self._exists = exists
        self._ask = ask
        self._adapters = installed_adapters()
        self._found: list[FoundBackend] = []
        # Of a backend: the entry of the keyring, and the key that was typed.
        self._keys: dict[str, tuple[str, str]] = {}

    def run(self) -> int:
        there, missing = list_sources(self._runtime, self._adapters)
        places = ", ".join(each.words for each in there)
        if there:
            _print_wrapped(f"Looking for backends: {places}")
        self._found = self._check(there)
        self._print_found(missing)
        chosen = self._choose() if self._ask else [f for f in self._found if f.ready]
        if not chosen:
            self._print_json([])
            return self._report_nothing()
        default = self._choose_default(chosen)
        folder = "" if self._exists or not self._ask else self._ask_folder()
        verb = "Add to" if self._exists else "Write"
        if self._ask and not _confirm(f"{verb} {self._path}?", default=True):
            print_message("Nothing was written.")
            return exit_codes.NOT_READY
        self._store_keys(chosen)
        if self._exists:
            extend_config(
                self._runtime,
                self._path,
                chosen,
                default=default,
                adapters=self._adapters,
            )
        else:
            write_config(
                self._path,
                chosen,
                default=default,
                folder=folder,
                adapters=self._adapters,
            )
        self._print_json(chosen)
        if not self._out.json:
            self._out.print_path(str(self._path))
        names = " and ".join(each.name for each in chosen)
        flag = f" --backend {chosen[0].name}" if self._exists else ""
        print_message(f'Added {names}. Try it: imagen generate "a red fox"{flag}')
        return exit_codes.DONE

    def _report_nothing(self) -> int:
        names = [each for each in self._runtime.settings.backends if each != MOCK]
        if names:
            print_message(f"Nothing was written. The config has {', '.join(names)}.")
            return exit_codes.DONE
        _print_wrapped(
            "Nothing was written. Without a backend of your own, imagen uses the free "
            'mock: imagen generate "a red fox".'
        )
        return exit_codes.NOT_READY

    def _check(self, sources: Sequence[Source]) -> list[FoundBackend]:
        with StopSignals() as signals:
            taken = [each.name for each in self._found]
            found = check_sources(
                self._runtime,
                sources,
                self._adapters,
                taken=taken,
                cancellation=signals.cancellation,
            )
        if signals.exit_code is not None:
            raise KeyboardInterrupt
        return found

    def _print_found(self, missing: Sequence[Source] = ()) -> None:
        rows = [
            (str(number), each.name, "ready" if each.ready else "NOT READY", each.text)
            for number, each in enumerate(self._found, start=1)
        ]
        rows += [("-", each.adapter, "not found", each.words) for each in missing]
        details = [each.details for each in self._found] + [[]] * len(missing)
        for line, below in zip(Columns().lines(rows), details, strict=True):
            print_message(line)
            for detail in below:
                print_message(wrap_message(detail, indent=_INDENT))

    def _choose(self) -> list[FoundBackend]:
        """Ask which backends to add; return none of them to add none."""
        while True:
            ready = [n for n, each in enumerate(self._found, start=1) if each.ready]
            numbers = ",".join(map(str, ready))
            usual = f"Enter for {numbers}" if ready else "Enter for none"
            answer = _ask(
                f"Add which? Numbers, the URL of another server, or {usual}: "
            )
            if not answer:
                return [self._found[number - 1] for number in ready]
            words = answer.replace(",", " ").split()
            if self._found and all(word.isdecimal() for word in words):
                if all(1 <= int(word) <= len(self._found) for word in words):
                    picked = [self._found[int(word) - 1] for word in words]
                    chosen = [each for each in picked if self._accepts(each)]
                    if chosen:
                        return chosen
                    continue
                print_message(f"Choose from 1 to {len(self._found)}.")
            elif len(words) == 1 and ("." in answer or ":" in answer):
                self._add_server(answer if "://" in answer else f"http://{answer}")
            elif answer in self._adapters:
                self._add_key(answer)
            else:
                _print_wrapped(
                    "Type numbers such as 1,2, a URL such as http://gpu:8188, or a "
                    f"service whose key you have: {', '.join(self._services())}."
                )

    def _accepts(self, found: FoundBackend) -> bool:
        question = f"{found.adapter} is not ready. Add it all the same?"
        return found.ready or _confirm(question, default=False)

    def _add_server(self, url: str) -> None:
        """Look for a server at a URL that was typed, and list it with the others."""
        names = [name for name, each in self._adapters.items() if list_urls(each)]
        found = self._check([source_of_url(name, url) for name in names])
        if not found:
            print_message(f"No {' or '.join(names)} server answers at {url}.")
            return
        self._found += found
        self._print_found()

    def _services(self) -> list[str]:
        """Return the adapters that need a key."""
        return [name for name, each in self._adapters.items() if find_key_option(each)]

    def _add_key(self, name: str) -> None:
        """Ask for the key of a service, and list it with the others."""
        option = find_key_option(self._adapters[name])
        if option is None:
            print_message(f"{name} needs no key.")
            return
        if find_spec("keyring") is None:
            _print_wrapped(
                f"Set ${option[1][0]} to your key, and run `imagen setup` again. Or "
                f"let your keyring hold it: {format_install_command('keyring')}"
            )
            return
        key = getpass(f"imagen: Key for {name}, which your keyring will hold: ").strip()
        if not key:
            return
        with StopSignals() as signals:
            found = check_typed_key(
                self._runtime,
                name,
                self._adapters[name],
                option=option[0],
                key=key,
                taken=[each.name for each in self._found],
                cancellation=signals.cancellation,
            )
        if found is None:
            raise KeyboardInterrupt
        self._keys[found.name] = (found.words, key)
        self._found.append(found)
        self._print_found()

    def _choose_default(self, chosen: Sequence[FoundBackend]) -> str:
        """Return the default backend to write; "" if the config needs no other."""
        names = [each.name for each in chosen]
        if self._exists:
            settings = self._runtime.settings
            if settings.default_backend is None or sets_default(self._path):
                return ""
            # The only backend was the default without being named.
            names = [*(name for name in settings.backends if name != MOCK), *names]
            if len(names) == 1:
                return ""
        while self._ask and len(names) > 1:
            usual = names[0]
            answer = _ask(f"Default backend: {', '.join(names)}? Enter for {usual}: ")
            if answer in {"", *names}:
                return answer or usual
        return names[0]

    def _ask_folder(self) -> str:
        while True:
            folder = _ask("Folder for images? Enter for the current one of each run: ")
            try:
                if folder:
                    self._runtime.environment.expand_path(folder)
            except Misconfigured as error:
                print_message(error.explanation)
                continue
            return folder

    def _store_keys(self, chosen: Sequence[FoundBackend]) -> None:
        for found in chosen:
            if found.name in self._keys:
                from imagen.adapters.system.key_store import store_secret  # noqa: PLC0415 - rare

                store_secret(*self._keys[found.name])

    def _print_json(self, chosen: Sequence[FoundBackend]) -> None:
        if self._out.json:
            self._out.print_json(
                {
                    "path": display_path(str(self._path)) if chosen else None,
                    "found": [
                        {**msgspec.to_builtins(each), "ready": each.ready}
                        for each in self._found
                    ],
                    "added": [each.name for each in chosen],
                }
            )


def _print_wrapped(message: str) -> None:
    print_message(wrap_message(message, indent=""))


def _ask(question: str) -> str:
    """Return the answer to a question, without blanks around it.

    Raises:
        EOFError: the terminal was closed, or Ctrl-D was pressed.
    """
    sys.stderr.write(f"imagen: {question}")
    sys.stderr.flush()
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line.strip()


def _confirm(question: str, *, default: bool) -> bool:
    answer = _ask(f"{question} [{'Y/n' if default else 'y/N'}] ").lower()
    return answer in {"y", "yes"} if answer else default
