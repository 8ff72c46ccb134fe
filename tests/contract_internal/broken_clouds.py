"""A correct cloud and faulty ones; `breaks` lists the tests that each fails.

Not collected by itself: `test_broken.py` runs it and compares.
"""

from collections.abc import Iterator
from itertools import islice
from threading import Lock
from typing import Any, ClassVar, Self

import msgspec
import pytest
from tests.contract.broken import Rendezvous
from tests.contract_internal.contracts.cloud import CloudContract
from tests.contract_internal.fakes.cloud import MemoryCloud

from imagen.domain.cloud import CloudImage
from imagen.domain.errors import InvalidRequest, Refused, Unauthorized, Unavailable

replaced = msgspec.structs.replace

AWAY = Unavailable("It is not reached.")
CLOSED = Unauthorized("It does not take the key.", hint="Get another.")
OWNER = "6f0c7f7e-3b1f-4a53-9d4c-0f6a2f0b7c11"


class Sky(MemoryCloud):
    """A correct cloud; several instances may share the images."""

    def another(self) -> Self:
        another = type(self)()
        another.objects, another.kept = self.objects, self.kept
        return another


class Staged(CloudContract):
    Made: ClassVar[type[Sky]] = Sky
    away_with: ClassVar[Exception] = AWAY
    closed_with: ClassVar[Exception] = CLOSED
    breaks: ClassVar[set[str]]

    @pytest.fixture
    def cloud(self) -> Sky:
        return self.Made()

    @pytest.fixture
    def owner(self) -> str:
        return OWNER

    @pytest.fixture
    def another(self, cloud: Sky) -> Sky:
        return cloud.another()

    @pytest.fixture
    def away(self) -> Sky:
        return in_trouble(self.Made(), self.away_with)

    @pytest.fixture
    def closed(self) -> Sky:
        return in_trouble(self.Made(), self.closed_with)


def in_trouble(cloud: Sky, trouble: Any) -> Sky:
    cloud.trouble = trouble
    return cloud


class TestIsHealthy(Staged):
    breaks: ClassVar[set[str]] = set()


class TestFindsSomethingInNothing(Staged):
    class Made(Sky):
        def get(self, owner: str, name: str) -> CloudImage | None:
            self._check()
            if not self.kept:
                raise InvalidRequest("There is no image.")
            return super().get(owner, name)

    breaks: ClassVar[set[str]] = {
        "test_has_nothing_at_first",
    }


class TestRoundsTheSeed(Staged):
    class Made(Sky):
        def upload(self, image: CloudImage, content: bytes) -> None:
            seed = int(float(image.sidecar.seed or 0))
            sidecar = replaced(image.sidecar, seed=seed)
            super().upload(replaced(image, sidecar=sidecar), content)

    breaks: ClassVar[set[str]] = {
        "test_returns_what_is_kept",
        "test_keeps_an_image_once",
        "test_is_opened_again",
    }


class TestChangesTheBytes(Staged):
    class Made(Sky):
        def upload(self, image: CloudImage, content: bytes) -> None:
            super().upload(image, content.strip() + b"\n")

    breaks: ClassVar[set[str]] = {
        "test_returns_what_is_kept",
        "test_keeps_an_image_once",
        "test_is_opened_again",
    }


class TestKeepsAnImageAgain(Staged):
    class Made(Sky):
        def upload(self, image: CloudImage, content: bytes) -> None:
            super().upload(image, content)
            self.kept[f"{image.sidecar.id}/{len(self.kept)}"] = image

    breaks: ClassVar[set[str]] = {
        "test_returns_what_is_kept",
        "test_keeps_an_image_once",
        "test_keeps_an_image_once_whoever_keeps_it",
        "test_finds_the_newest_first",
        "test_gets_by_the_beginning_of_an_id",
        "test_is_opened_again",
    }


class TestIsNotToBeAskedTwice(Staged):
    class Made(Sky):
        def upload(self, image: CloudImage, content: bytes) -> None:
            if image.path in self.objects:
                raise Refused("It is there already.")
            super().upload(image, content)

    breaks: ClassVar[set[str]] = {
        "test_keeps_an_image_once",
        "test_keeps_an_image_once_whoever_keeps_it",
    }


class TestLosesImagesInACrowd(Staged):
    class Made(Sky):
        crowd, lock = Rendezvous(), Lock()

        def upload(self, image: CloudImage, content: bytes) -> None:
            before = dict(self.kept)
            self.crowd.wait()
            with self.lock:
                self.kept.clear()
                self.kept.update(before)
                super().upload(image, content)

    breaks: ClassVar[set[str]] = {
        "test_keeps_an_image_once_whoever_keeps_it",
    }


class TestKnowsOnlyItsOwn(Staged):
    class Made(Sky):
        def another(self) -> Self:
            return type(self)()

    breaks: ClassVar[set[str]] = {
        "test_keeps_an_image_once_whoever_keeps_it",
    }


class TestFindsTheOldestFirst(Staged):
    class Made(Sky):
        def find(self, owner: str, *, limit: int | None = None) -> Iterator[CloudImage]:
            return islice(reversed(list(super().find(owner))), limit)

    breaks: ClassVar[set[str]] = {
        "test_keeps_an_image_once_whoever_keeps_it",
        "test_finds_the_newest_first",
    }


class TestKnowsNoLimit(Staged):
    class Made(Sky):
        def find(self, owner: str, *, limit: int | None = None) -> Iterator[CloudImage]:
            return super().find(owner)

    breaks: ClassVar[set[str]] = {
        "test_finds_the_newest_first",
    }


class TestTakesALimitOfNothingForNone(Staged):
    class Made(Sky):
        def find(self, owner: str, *, limit: int | None = None) -> Iterator[CloudImage]:
            return super().find(owner, limit=limit or None)

    breaks: ClassVar[set[str]] = {
        "test_finds_the_newest_first",
    }


class TestShowsAllImagesToAll(Staged):
    class Made(Sky):
        def find(self, owner: str, *, limit: int | None = None) -> Iterator[CloudImage]:
            return super().find(OWNER, limit=limit)

    breaks: ClassVar[set[str]] = {
        "test_shows_nobody_what_is_not_theirs",
    }


class TestIgnoresTheOwner(Staged):
    class Made(Sky):
        def get(self, owner: str, name: str) -> CloudImage | None:
            return super().get(OWNER, name)

    breaks: ClassVar[set[str]] = {
        "test_shows_nobody_what_is_not_theirs",
    }


class TestWantsTheWholeId(Staged):
    class Made(Sky):
        def get(self, owner: str, name: str) -> CloudImage | None:
            whole = [each for each in self.find(owner) if each.sidecar.id == name]
            return whole[0] if whole else None

    breaks: ClassVar[set[str]] = {
        "test_gets_by_the_beginning_of_an_id",
    }


class TestGetsAnyOfSeveral(Staged):
    class Made(Sky):
        def get(self, owner: str, name: str) -> CloudImage | None:
            found = [
                each
                for each in self.find(owner)
                if name and each.sidecar.id.startswith(name.lower())
            ]
            return found[0] if found else None

    breaks: ClassVar[set[str]] = {
        "test_gets_by_the_beginning_of_an_id",
    }


class TestKeepsAnything(Staged):
    class Made(Sky):
        def upload(self, image: CloudImage, content: bytes) -> None:
            sidecar = replaced(image.sidecar, mime_type="image/png")
            super().upload(replaced(image, sidecar=sidecar), content)

    breaks: ClassVar[set[str]] = {
        "test_refuses_what_is_no_image",
    }


class TestHasARowOfWhatItRefused(Staged):
    class Made(Sky):
        def upload(self, image: CloudImage, content: bytes) -> None:
            self._check()
            self.kept.setdefault(image.sidecar.id, image)
            super().upload(image, content)

    breaks: ClassVar[set[str]] = {
        "test_refuses_what_is_no_image",
    }


class TestReturnsAnyBytes(Staged):
    class Made(Sky):
        def download(self, image: CloudImage) -> bytes:
            self._check()
            return self.objects.get(image.path, b"")

    breaks: ClassVar[set[str]] = {
        "test_returns_nothing_else",
    }


class TestLetsAKeyErrorOut(Staged):
    class Made(Sky):
        def download(self, image: CloudImage) -> bytes:
            self._check()
            assert self.objects[image.path]
            return super().download(image)

    breaks: ClassVar[set[str]] = {
        "test_returns_nothing_else",
    }


class TestIsClosedForGood(Staged):
    class Made(Sky):
        def close(self) -> None:
            self.trouble = AWAY

    breaks: ClassVar[set[str]] = {
        "test_is_opened_again",
    }


class TestLetsAnOsErrorOut(Staged):
    away_with: ClassVar[Exception] = OSError("Connection refused.")
    breaks: ClassVar[set[str]] = {
        "test_says_that_it_is_away",
    }


class TestTakesAwayForRefused(Staged):
    away_with: ClassVar[Exception] = Refused("It will never be kept.")
    breaks: ClassVar[set[str]] = {
        "test_says_that_it_is_away",
    }


class TestSaysNotWhatToDo(Staged):
    closed_with: ClassVar[Exception] = Unauthorized("It does not take the key.")
    breaks: ClassVar[set[str]] = {
        "test_says_that_it_is_closed",
    }


class TestTakesClosedForAway(Staged):
    closed_with: ClassVar[Exception] = AWAY
    breaks: ClassVar[set[str]] = {
        "test_says_that_it_is_closed",
    }
