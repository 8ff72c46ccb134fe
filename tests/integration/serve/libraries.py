"""Python libraries on top of OpenAI's client, each call in a process of its own."""

import base64
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec

import pytest


class LibraryError(Exception):
    """The name of the exception that the library raised, and its HTTP status."""


@dataclass(frozen=True)
class Library:
    """A library that generates images.

    Attributes:
        package: Its name in Python.
        script: Sets `content` to the image for `url`, `key`, `model`, `prompt`, `size`.
    """

    package: str
    script: str

    def skip_if_missing(self) -> None:
        if find_spec(self.package) is None:
            pytest.skip(f"{self.package} is not installed")

    def generate(
        self, url: str, *, key: str, model: str, prompt: str, size: str = "1024x1024"
    ) -> bytes:
        """Return an image.

        Raises:
            LibraryError: the library raised an exception.
        """
        with tempfile.TemporaryDirectory() as home:
            done = subprocess.run(
                [
                    *(sys.executable, "-c", START + self.script + END),
                    *(f"{url}/v1", key, model, prompt, size),
                ],
                env={
                    "HOME": home,
                    "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
                    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
                },
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
        kind, _, rest = (done.stdout.splitlines() or [""])[-1].partition(" ")
        if kind == "image":
            return base64.b64decode(rest)
        raise LibraryError(rest or done.stderr)


START = """
import base64, sys
url, key, model, prompt, size = sys.argv[1:]
def generate():
"""
END = """
try:
    content = generate()
except Exception as error:
    print("error", type(error).__name__, error.status_code)
else:
    print("image", base64.b64encode(content).decode())
"""
LITELLM = Library(
    "litellm",
    """
    import httpx, litellm
    made = litellm.image_generation(
        model=f"openai/{model}", prompt=prompt, size=size, api_base=url, api_key=key
    )
    return httpx.get(made.data[0].url).raise_for_status().content
""",
)
LANGCHAIN = Library(
    "langchain_community",
    """
    import httpx
    from langchain_community.utilities.dalle_image_generator import DallEAPIWrapper
    wrapper = DallEAPIWrapper(model=model, size=size, api_key=key, base_url=url)
    return httpx.get(wrapper.run(prompt)).raise_for_status().content
""",
)
