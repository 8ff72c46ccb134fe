import pickle
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import msgspec
import pytest

from imagen.adapters.system.clock import SystemClock
from imagen.bootstrap.setup import find_key_option
from imagen.domain.errors import Misconfigured
from imagen.ports.adapter import BackendContext, Secrets
from imagen.registry import BUILT_IN, GROUP, SUMMARIES, adapter_names, find_adapter

PROJECT = Path(__file__).parents[2] / "pyproject.toml"


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_built_in_adapter_builds_a_backend(name: str) -> None:
    adapter = find_adapter(name)

    backend = adapter.create(
        adapter.options(), BackendContext(name="mine", clock=SystemClock())
    )

    assert backend.capabilities() == backend.capabilities()
    assert adapter.summary


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(Misconfigured, match="Unknown adapter 'mokc'") as failure:
        find_adapter("mokc")

    assert failure.value.hint == "Did you mean mock?"


def test_the_table_and_the_entry_points_agree() -> None:
    project = tomllib.loads(PROJECT.read_text("utf-8"))["project"]

    assert project["entry-points"][GROUP] == BUILT_IN


def test_the_summaries_are_those_of_the_adapters() -> None:
    assert {name: find_adapter(name).summary for name in BUILT_IN} == SUMMARIES


def test_a_list_of_the_summaries_fits_80_columns() -> None:
    room = 80 - len("    ") - max(map(len, SUMMARIES))
    assert {name for name, words in SUMMARIES.items() if len(words) > room} == set()


@pytest.mark.parametrize("name", ["chalk", "easel"])
def test_an_adapter_of_another_package_is_found(name: str) -> None:
    if not entry_points(group=GROUP, name=name):
        pytest.skip(f"examples/imagen-{name} is not installed")

    assert name in adapter_names()
    assert find_adapter(name).summary


def install(folder: Path, value: str) -> None:
    """Make the folder look as if a package were installed in it."""
    info = folder / "broken-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n"
    )
    (info / "entry_points.txt").write_text(f"[{GROUP}]\nbroken = {value}\n")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("no_such_module:adapter", "cannot be loaded"),
        ("os:no_such_name", "cannot be loaded"),
        ("os:path", "is not an imagen Adapter"),
    ],
)
def test_a_broken_adapter_of_another_package_is_one_clear_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, said: str
) -> None:
    install(tmp_path, value)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])

    with pytest.raises(Misconfigured, match=said):
        find_adapter("broken")


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_what_setup_proposes_first_has_a_model(name: str) -> None:
    adapter = find_adapter(name)
    preset = adapter.presets[0] if adapter.presets else {}
    option = find_key_option(adapter)
    keys = {} if option is None else {option[0]: option[1][0]}
    context = BackendContext(
        name=name,
        clock=SystemClock(),
        secrets=Secrets(dict.fromkeys(keys, "canary")),
    )

    backend = adapter.create(
        msgspec.convert({**keys, **preset}, adapter.options), context
    )

    # Otherwise `imagen generate` would ask for --model after the set-up.
    assert backend.capabilities().model or not backend.capabilities().may_cost


@pytest.mark.parametrize("name", BUILT_IN)
def test_options_reach_a_worker_process(name: str) -> None:
    options = find_adapter(name).options()

    restored = pickle.loads(pickle.dumps(options))

    assert restored == options
    assert type(restored) is type(options)


@pytest.mark.parametrize(
    ("name", "variables"),
    [
        ("bfl", ["BFL_API_KEY", "BLACK_FOREST_LABS_API_KEY"]),
        ("fal", ["FAL_KEY", "FAL_API_KEY", "FAL_AI_API_KEY"]),
        ("gemini", ["GEMINI_API_KEY", "GOOGLE_API_KEY"]),
        ("openai", ["OPENAI_API_KEY"]),
        ("openrouter", ["OPENROUTER_API_KEY"]),
        ("replicate", ["REPLICATE_API_TOKEN", "REPLICATE_API_KEY"]),
    ],
)
def test_setup_knows_the_usual_variables_of_a_service(
    name: str, variables: list[str]
) -> None:
    option = find_key_option(find_adapter(name))

    assert option is not None
    assert option[1] == variables
