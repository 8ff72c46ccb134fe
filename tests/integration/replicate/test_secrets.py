"""Whatever Replicate says, the token is in no message and in no sidecar."""

import pytest
from tests.integration.replicate.conftest import Build, drawn
from tests.integration.replicate.models import SKETCH
from tests.integration.replicate.server import ReplicateServer

from imagen.domain.errors import ImagenError
from imagen.domain.result import Generated
from imagen.testing.fakes import RecordingContext

TOKEN = "r8_Ab3xYz9QwErTyUiOpAsDf"


@pytest.fixture(autouse=True)
def token(server: ReplicateServer) -> None:
    server.token = TOKEN


def said(error: ImagenError) -> str:
    return f"{error} {error.hint} {error.__cause__}"


@pytest.mark.parametrize(
    "detail",
    [
        f"Your token {TOKEN} is odd",
        "x" * 290 + TOKEN,
        "x" * 490 + TOKEN,
        f"\x1b[31m{TOKEN[:9]}\x1b[0m{TOKEN[9:]}",
        {"headers": [f"Bearer {TOKEN}"]},
        "y" * 1_000_000,
    ],
)
@pytest.mark.parametrize("refused", [True, False])
def test_a_message_has_no_token(
    build: Build, server: ReplicateServer, detail: str, refused: bool
) -> None:
    if refused:
        server.trouble(refuses_with=422, detail=detail)
    else:
        server.trouble(ends="failed", error=detail)

    outcome = drawn(build())

    assert isinstance(outcome, ImagenError)
    assert TOKEN[:8] not in said(outcome)
    assert outcome.message.isprintable()
    assert len(outcome.message) < 600


def test_an_address_has_no_token(build: Build, server: ReplicateServer) -> None:
    server.trouble(leads_to=f"http://{TOKEN}.example/cat.png")

    outcome = drawn(build())

    assert isinstance(outcome, ImagenError)
    assert TOKEN[:8].lower() not in outcome.message.lower()


def test_a_recorded_input_has_no_token(build: Build, server: ReplicateServer) -> None:
    server.models[SKETCH].properties["note"] = {"type": "string"}

    generated = drawn(build(model=SKETCH), options={"note": f"as {TOKEN} says"})

    assert isinstance(generated, Generated), generated
    assert generated.parameters["inputs"]["note"] == "as (hidden) says"


def test_progress_has_no_token(build: Build, server: ReplicateServer) -> None:
    context = RecordingContext()
    server.trouble(state=f"queued for {TOKEN}")

    drawn(build(), context)

    assert "queued for (hidden)" in context.notes
