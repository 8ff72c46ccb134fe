"""The part of `BackendContract` about capabilities."""

import pytest

from imagen.domain.job import ImageJob
from imagen.domain.seed import LARGEST_SEED
from imagen.domain.size import Size
from imagen.ports.backend import ImageBackend
from imagen.testing.contracts.base import Contract
from imagen.testing.contracts.observation import observe_thread
from imagen.testing.fakes import RecordingContext


class CapabilitiesContract(Contract):
    """A part of `BackendContract`, which provides the fixtures."""

    def test_is_built_without_network(self, request: pytest.FixtureRequest) -> None:
        """Creating a backend uses no network."""
        # imagen creates backends to list their capabilities, and most are never used.
        with observe_thread() as activity:
            request.getfixturevalue("backend")

        assert activity.connects == [], (
            "creating the backend opened a connection; open it in `generate`"
        )

    def test_says_the_same_of_itself_every_time(
        self, backend: ImageBackend, job: ImageJob
    ) -> None:
        """The capabilities are equal at each call, before and after a job."""
        first = backend.capabilities()
        backend.generate(job, RecordingContext())

        assert backend.capabilities() == first, "`capabilities` changed after a job"

    def test_says_what_it_can_without_network(self, backend: ImageBackend) -> None:
        """`capabilities` returns at once and uses no network."""
        # The plan compares each request with the capabilities before anything is sent.
        with observe_thread() as activity:
            backend.capabilities()

        advice = "; return a constant, or look models up in `capabilities_of`"
        assert activity.connects == [], f"`capabilities` opened a connection{advice}"
        assert activity.sleeps == [], f"`capabilities` slept{advice}"

    def test_offers_its_own_model(self, backend: ImageBackend) -> None:
        """The default model is one of the models that can be selected, if any can."""
        capabilities = backend.capabilities()
        model, models = capabilities.model, capabilities.models

        assert not models or not model or model in models, (
            "`Capabilities.model` is missing from `Capabilities.models`"
        )

    def test_names_formats_by_media_type(self, backend: ImageBackend) -> None:
        """The formats are distinct media types of images, such as image/png."""
        formats = backend.capabilities().formats

        assert [name for name in formats if not name.startswith("image/")] == []
        assert len(set(formats)) == len(formats), (
            "`Capabilities.formats` has duplicates"
        )

    def test_draws_sensible_limits(self, backend: ImageBackend) -> None:
        """A size, one image per call and, with seeds, at least one seed are allowed."""
        capabilities = backend.capabilities()
        sizes, largest_seed = capabilities.sizes, capabilities.largest_seed

        assert sizes.allows(sizes.nearest(Size())), (
            "`Capabilities.sizes` allows no size"
        )
        assert capabilities.largest_batch >= 1
        assert largest_seed is None or 1 <= largest_seed <= LARGEST_SEED
