"""The HTTP library httpx, loaded without its command line."""

import sys
from typing import cast

# `import httpx` loads its command line, and that click, rich and Pygments if they are
# installed: 70 of the 230 ms of CPU time before the first request (httpx 0.28 with
# Python 3.11, 2026-12). It has no option for that, and goes without where the command
# line cannot be imported. None in `sys.modules` is what the language has for this.
_COMMAND_LINE = "httpx._main"

if "httpx" not in sys.modules:
    cast("dict[str, object]", sys.modules)[_COMMAND_LINE] = None
try:
    import httpx
finally:
    if sys.modules.get(_COMMAND_LINE) is None:
        sys.modules.pop(_COMMAND_LINE, None)

__all__ = ["httpx"]
