"""The commands `imagen backends list` and `imagen backends check`."""

from functools import partial
from typing import Annotated

from cyclopts import Parameter  # noqa: TID253 - this is the command line

from imagen import registry
from imagen.bootstrap.library import build_check
from imagen.bootstrap.runtime import Runtime
from imagen.cli import exit_codes
from imagen.cli.output import Output
from imagen.cli.parameters import ConfigFlag, JsonFlag, complete_backends, keep_path
from imagen.domain.errors import Misconfigured
from imagen.settings.environment import process_environment
from imagen.settings.model import Settings


def list_(*, config: ConfigFlag = None, json: JsonFlag = False) -> int:
    """List the configured backends, and the adapters that there are.

    ```
    imagen backends list --json
    ```
    """
    runtime = Runtime.load(keep_path(config), environment=process_environment())
    settings = runtime.settings
    said = Output(json=json)
    instances = [
        {
            "name": name,
            "adapter": found.instance.adapter,
            "default": bool(_default(settings, name)),
        }
        for name, found in settings.backends.items()
    ]
    adapters = [
        {"name": name, "summary": _summary(name)} for name in registry.adapter_names()
    ]
    if json:
        said.object({"backends": instances, "adapters": adapters})
        return exit_codes.DONE
    said.text("configured backends:")
    said.table(
        [
            (name, found.instance.adapter, _default(settings, name))
            for name, found in settings.backends.items()
        ]
    )
    said.text("adapters:")
    said.table([(each["name"], each["summary"]) for each in adapters])
    return exit_codes.DONE


def check(
    *names: Annotated[str, Parameter(metavar="NAME", completer=complete_backends)],
    config: ConfigFlag = None,
    json: JsonFlag = False,
) -> int:
    """Check whether backends would work, all of them or those NAMED; spends nothing.

    Exits 0 when all are ready, 1 when one is not.

    ```
    imagen backends check mock
    ```

    Args:
        names: Instances of the config. [default: all]
    """
    runtime = Runtime.load(keep_path(config), environment=process_environment())
    said, use_case = Output(json=json), build_check(runtime)
    chosen = [runtime.find_backend(name) for name in names or runtime.settings.backends]
    ready = True
    for each in chosen:
        checked = use_case.run(
            each.instance,
            partial(runtime.build_backend, each.instance.name),
        )
        ready = ready and checked.ready
        said.checked(checked)
    return exit_codes.DONE if ready else exit_codes.NOT_READY


def _default(settings: Settings, name: str) -> str:
    return "default" if name == settings.default_backend else ""


def _summary(adapter: str) -> str:
    try:
        return registry.find_adapter(adapter).summary
    except Misconfigured as error:
        return f"cannot be used: {error.message}"
