"""Comparison of a job with the inputs of jobs that a vendor lists."""

from base64 import b64decode
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import sha256

import msgspec

from imagen.adapters.remote.models.images import compute_digests
from imagen.adapters.remote.models.inputs import AttachedImages, ModelInputs
from imagen.adapters.remote.models.schema import json_equal
from imagen.domain.job import ImageJob

CLOCK_TOLERANCE = timedelta(seconds=30)
"""How much earlier than the job a matching one may have been created."""


class SentInputs(msgspec.Struct, frozen=True, kw_only=True):
    """The inputs that a job was sent with.

    Attributes:
        values: All values, without images.
        images: The SHA-256 digests of the images, by input.
        defaults: The default values of the model's inputs.
    """

    values: Mapping[str, object]
    images: Mapping[str, Sequence[str]] = {}
    defaults: Mapping[str, object] = {}

    def match(self, listed: Mapping[str, object]) -> bool:
        """Return whether a listed job has the same values; images are not compared."""
        others = self.defaults.keys() - self.values.keys() - self.images.keys()
        # A vendor may add inputs that were not sent, with their defaults or empty.
        return all(
            name in listed and json_equal(listed[name], value)
            for name, value in self.values.items()
        ) and all(
            json_equal(value, self.defaults.get(name)) or value in (None, "", [])
            for name, value in listed.items()
            if name in others
        )


def describe_sent(
    job: ImageJob, inputs: ModelInputs, configured: Mapping[str, object]
) -> SentInputs | None:
    """Return the inputs of a job; None if the content of its mask is missing.

    Args:
        job: The job.
        inputs: The inputs of its model.
        configured: The inputs that the config sets.
    """
    images = compute_digests(job, inputs)
    if images is None:
        return None
    # The images are compared by their digests; only their number matters here.
    names = AttachedImages(images=tuple(image.name for image in job.images))
    payload = inputs.build_payload(job, configured, names)
    return SentInputs(
        values={name: payload[name] for name in payload.keys() - images},
        images=images,
        defaults={name: field.default for name, field in inputs.fields.items()},
    )


def find_earliest(since: datetime, *, date: str | None, now: datetime) -> datetime:
    """Return the earliest creation of a job, by the vendor's clock.

    Args:
        since: When the job was about to be sent, by our clock.
        date: The header `Date` of a response; None for none.
        now: The current time by our clock.
    """
    from imagen.adapters.remote.errors import parse_date  # noqa: PLC0415 - network

    theirs = parse_date(date)
    offset = timedelta() if theirs is None else theirs - now
    return since - CLOCK_TOLERANCE + offset


def digest_data_uri(uri: str) -> str | None:
    """Return the SHA-256 digest of the content of a data URI; None if it is invalid."""
    try:
        return sha256(b64decode(uri.partition(",")[2], validate=True)).hexdigest()
    except ValueError:
        return None
