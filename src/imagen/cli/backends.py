"""The commands `imagen backends list` and `imagen backends check`."""

from functools import partial
from typing import Annotated

import msgspec
from cyclopts import Parameter  # noqa: TID253 - this is the command line

from imagen import registry
from imagen.cli import exit_codes
from imagen.cli.output import Output
from imagen.cli.parameters import (
    ConfigFlag,
    JsonFlag,
    complete_backends,
    load_runtime,
)
from imagen.domain.errors import Misconfigured
from imagen.usecases.check import check_backend


def list_(*, config: ConfigFlag = None, json: JsonFlag = False) -> None:
    """List the configured backends and the available adapters.

    ```
    imagen backends list --json
    ```
    """
    runtime = load_runtime(config)
    settings = runtime.settings
    out = Output(json=json)
    backends = [
        (name, found.instance.adapter, name == settings.default_backend)
        for name, found in settings.backends.items()
    ]
    adapters = [
        {"name": name, "summary": _describe_adapter(name)}
        for name in registry.adapter_names()
    ]
    if json:
        columns = ("name", "adapter", "default")
        instances = [dict(zip(columns, each, strict=True)) for each in backends]
        out.print_json({"backends": instances, "adapters": adapters})
        return
    out.print_text("configured backends:")
    out.print_table(
        [
            (name, adapter, "default" if is_default else "")
            for name, adapter, is_default in backends
        ]
    )
    out.print_text("adapters:")
    out.print_table([(each["name"], each["summary"]) for each in adapters])


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
        return registry.find_adapter(adapter).summary
    except Misconfigured as error:
        # A broken plug-in must not hide the other adapters.
        return f"cannot be used: {error.message}"
