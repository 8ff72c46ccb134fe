"""The command `imagen fetch`."""

import sys
from contextlib import closing

from imagen.bootstrap.library import build_fetch
from imagen.bootstrap.output import OutputOptions
from imagen.cli.generation_flags import OutputFlag, OutputSwitch
from imagen.cli.output import Output, build_event_listener
from imagen.cli.parameters import (
    STDOUT,
    ConfigFlag,
    ImageId,
    JsonFlag,
    check_output,
    load_runtime,
)
from imagen.domain.errors import UsageError


def fetch(
    *ids: ImageId,
    output: OutputFlag = None,
    no_sidecar: OutputSwitch = False,
    config: ConfigFlag = None,
    json: JsonFlag = False,
) -> None:
    """Download images from the cloud, each with its sidecar; print their paths.

    ```
    imagen fetch 01a2055c-f0e1
    imagen fetch last -o fox.png
    ```

    Args:
        ids: Ids, unique prefixes of ids, or `last`; `imagen history --cloud` lists
            them.
        output: A file (an existing one goes to the trash), a folder, or - for the bytes
            on stdout. [default: named by the config's template]
        no_sidecar: Write no .json file beside the image.
    """
    if not ids:
        raise UsageError(
            "ID is missing.", hint="`imagen history --cloud` lists the ids."
        )
    where = check_output(output, json=json)
    out = Output(json=json, hide_results=where == STDOUT)
    with load_runtime(config) as runtime:
        use_case = build_fetch(
            runtime,
            output=OutputOptions(
                path=where,
                sidecar=not no_sidecar,
                # The image comes from the cloud; do not upload it again.
                cloud=False,
                stream=sys.stdout.buffer,
            ),
            count=len(ids),
            listen=build_event_listener(out, None, runtime.environment),
        )
        with closing(use_case.cloud):
            for name in ids:
                out.print_image(use_case.run(name))
