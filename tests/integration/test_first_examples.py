"""The examples of the tool that imagen succeeds, with the config of `config init`."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from tests.e2e.conftest import Ask, ask, clean_env, here, home
from tests.integration.comfyui.server import ComfyServer
from tests.integration.replicate.models import SCHNELL, Model
from tests.integration.replicate.server import ReplicateServer
from tests.integration.serve.running import Running

__all__ = ["ask", "clean_env", "here", "home"]  # fixtures

DEV = "black-forest-labs/flux-dev"


@pytest.fixture
def replicate() -> Iterator[ReplicateServer]:
    with ReplicateServer() as server:
        server.models[DEV] = Model(
            name=DEV, properties=server.models[SCHNELL].properties
        )
        yield server


@pytest.fixture
def comfyui() -> Iterator[ComfyServer]:
    with ComfyServer() as server:
        yield server


@pytest.fixture
def sample(
    ask: Ask,
    home: Path,
    comfyui: ComfyServer,
    replicate: ReplicateServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The sample in its place, with servers of the tests instead of the real ones."""
    text = ask("config", "init").out
    real = "# base_url: https://api.replicate.com/v1", "http://localhost:8188"
    assert all(text.count(each) == 1 for each in real)
    text = text.replace(real[0], f"base_url: {replicate.url}")
    (home / ".config").mkdir()
    (home / ".config" / "imagen.yaml").write_text(text.replace(real[1], comfyui.url))
    monkeypatch.setenv("REPLICATE_API_TOKEN", replicate.token)


@pytest.mark.usefixtures("sample")
@pytest.mark.parametrize(
    ("words", "name"),
    [
        (("test", "--backend", "mock"), "x.png"),
        (("a cat in a fishbowl", "--backend", "mock", "--seed", "42"), "cat.png"),
    ],
)
def test_the_mock_is_there_for_a_first_test(
    ask: Ask, here: Path, words: tuple[str, ...], name: str
) -> None:
    run = ask("generate", *words, "--output", str(here / name))

    assert (run.code, run.lines, run.err) == (0, [str(here / name)], "")


@pytest.mark.usefixtures("sample")
def test_a_blog_header_comes_from_comfyui(ask: Ask, comfyui: ComfyServer) -> None:
    run = ask(
        *("generate", "a wide editorial blog header about RAG systems"),
        *("--backend", "flux-schnell-local", "--style", "blog-header"),
        *("--size", "1536x768", "--json"),
    )

    (image,) = run.objects
    assert (run.code, image["width"], image["height"]) == (0, 1536, 768)
    assert len(comfyui.ran) == 1


@pytest.mark.usefixtures("sample")
def test_a_cat_comes_from_replicate_and_its_cost_is_in_the_ledger(
    ask: Ask, replicate: ReplicateServer
) -> None:
    run = ask("generate", "a cat", "--backend", "flux-dev-replicate")
    usages = [
        ask("usage"),
        ask("usage", "--since", "2026-05-01"),
        ask("usage", "--since", "2026-05-01", "--raw"),
    ]

    assert (run.code, len(run.lines), replicate.paid) == (0, 1, 1)
    assert all(each.code == 0 and DEV in each.out for each in usages)


@pytest.mark.usefixtures("sample")
def test_the_default_of_the_sample_is_comfyui(ask: Ask, comfyui: ComfyServer) -> None:
    listed = ask("backends", "list")
    run = ask("generate", "a fox", "--size", "256x256")

    (line,) = [each for each in listed.lines if each.endswith("  default")]
    assert line.split()[:2] == ["flux-schnell-local", "comfyui"]
    assert (run.code, len(comfyui.ran)) == (0, 1)
    assert ask("config", "validate").code == 0
    assert ask("config", "path").out.endswith("/.config/imagen.yaml\n")
    assert ask("version").code == 0


@pytest.mark.usefixtures("sample")
def test_serve_has_the_backends_of_the_sample(
    home: Path, tmp_path: Path, comfyui: ComfyServer, replicate: ReplicateServer
) -> None:
    config = yaml.safe_load((home / ".config" / "imagen.yaml").read_text())
    token = {"REPLICATE_API_TOKEN": replicate.token}

    with Running(tmp_path / "serve", config, env=token) as server:
        models = server.http.get("/v1/models").json()["data"]
        answers = [
            server.ask("a cat", model=name)
            for name in ("mock", "flux-schnell-local", "flux-dev-replicate")
        ]

    names = {model["id"] for model in models}
    assert names >= {"mock", "flux-schnell-local", "flux-dev-replicate"}
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert (len(comfyui.ran), replicate.paid) == (1, 1)
