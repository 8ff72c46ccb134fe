"""The commands `imagen backends list` and `imagen backends check`."""

from functools import partial
from typing import Annotated

import msgspec
from cyclopts import Parameter  # noqa: TID253 - this is the command line

from imagen import registry
from imagen.bootstrap.runtime import Runtime
from imagen.cli import exit_codes
from imagen.cli.output import Output, print_message
from imagen.cli.parameters import (
    ConfigFlag,
    JsonFlag,
    complete_backends,
    load_runtime,
)
from imagen.domain.errors import ImagenError, Misconfigured


def list_(*, config: ConfigFlag = None, json: JsonFlag = False) -> None:
    """List the configured backends and the available adapters.

    ```
    imagen backends list --json
    ```
    """
    out = Output(json=json)
    with load_runtime(config) as runtime:
        backends = [
            _describe_backend(runtime, each) for each in runtime.settings.backends
        ]
    adapters = [
        {"name": name, "summary": _describe_adapter(name)}
        for name in registry.adapter_names()
    ]
    if json:
        instances = [msgspec.to_builtins(each) for each in backends]
        out.print_json({"backends": instances, "adapters": adapters})
        return
    out.print_text("configured backends:")
    out.print_table([each.row for each in backends])
    out.print_text("adapters:")
    out.print_table([(each["name"], each["summary"]) for each in adapters])
    for each in backends:
        if each.problem:
            print_message(each.problem)


class _Backend(msgspec.Struct, frozen=True, kw_only=True):
    """A backend of the config: its model, and why it cannot be used, if so."""

    name: str
    adapter: str
    model: str
    default: bool
    problem: str

    @property
    def row(self) -> tuple[str, ...]:
        notes = {"default": self.default, "cannot be used": self.problem}
        note = ", ".join(words for words, applies in notes.items() if applies)
        return (self.name, self.adapter, self.model or "-", note)


def _describe_backend(runtime: Runtime, name: str) -> _Backend:
    settings, model, problem = runtime.settings, "", ""
    try:
        model = runtime.get_backend(name).capabilities().model
    except ImagenError as error:
        # A backend that cannot be used must not hide the others.
        problem = error.explanation
    return _Backend(
        name=name,
        adapter=settings.backends[name].instance.adapter,
        model=model,
        default=name == settings.default_backend,
        problem=problem,
    )


def check(
    *names: Annotated[str, Parameter(metavar="NAME", completer=complete_backends)],
    config: ConfigFlag = None,
    json: JsonFlag = False,
) -> int:
    """Check that the backends NAME are ready, or all of them; costs nothing.

    Exits 0 if all are ready, 1 if one is not.

    ```
    imagen backends check mock
    ```

    Args:
        names: Names of configured backends. [default: all]
    """
    from imagen.usecases.check import check_backend  # noqa: PLC0415 - not for the list

    runtime = load_runtime(config)
    out = Output(json=json)
    backends = [
        runtime.find_backend(name) for name in names or runtime.settings.backends
    ]
    ready = True
    for backend in backends:
        instance = backend.instance
        build = partial(runtime.build_backend, instance.name)
        report = check_backend(instance, build, clock=runtime.clock)
        ready = ready and report.ready
        if json:
            out.print_json({**msgspec.to_builtins(report), "ready": report.ready})
            continue
        for finding in report.findings:
            out.print_finding(report.name, finding)
    return exit_codes.DONE if ready else exit_codes.NOT_READY


def _describe_adapter(adapter: str) -> str:
    try:
        return registry.describe_adapter(adapter)
    except Misconfigured as error:
        # A broken plug-in must not hide the other adapters.
        return f"cannot be used: {error.message}"
