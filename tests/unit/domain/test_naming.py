import unicodedata
from datetime import UTC, datetime
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagen.domain.errors import InvalidRequest
from imagen.domain.naming import (
    DEFAULT_TEMPLATE,
    LONGEST_NAME,
    PLACEHOLDERS,
    Destination,
    NameFacts,
    add_number,
    candidate_names,
    expand_template,
    slugify,
)

AT = datetime(2026, 5, 8, 14, 30, 15, tzinfo=UTC)
written = st.text(st.characters(exclude_categories=["Cs"]))


def facts(
    *, prompt: str = "A cat!", seed: int | None = 42, backend: str = "mock"
) -> NameFacts:
    return NameFacts(at=AT, prompt=prompt, seed=seed, backend=backend, extension="png")


def size_of(name: str) -> int:
    return len(name.encode())


@pytest.mark.parametrize(
    ("template", "name"),
    [
        (DEFAULT_TEMPLATE, "2026-05-08-143015-a-cat-42.png"),
        ("{date}/{time}/{slug}.{ext}", "2026-05-08/143015/a-cat.png"),
        ("{backend}-{seed}.{ext}", "mock-42.png"),
        ("{slug}", "a-cat.png"),
        ("{slug}.webp", "a-cat.webp.png"),
        ("{ext}/{slug}.{ext}", "png/a-cat.png"),
        ("{slug}{slug}.{ext}", "a-cata-cat.png"),
        ("...{slug}", "...a-cat.png"),
        ("ein Bild.{ext}", "ein Bild.png"),
    ],
)
def test_fills_the_placeholders(template: str, name: str) -> None:
    assert expand_template(template, facts()) == name


@pytest.mark.parametrize(
    "literal", ["{model}", "{}", "{slug", "slug}", "{Slug}", "{slug:x}", "{0}", "%s"]
)
def test_leaves_unknown_placeholders_as_they_are(literal: str) -> None:
    assert expand_template(f"{literal}.{{ext}}", facts()) == f"{literal}.png"


def test_says_that_there_was_no_seed() -> None:
    assert expand_template("{seed}", facts(seed=None)) == "noseed.png"


def test_fills_a_value_in_once() -> None:
    assert expand_template("{backend}", facts(backend="{slug}")) == "{slug}.png"


@given(written, written)
def test_no_value_contains_a_slash(prompt: str, backend: str) -> None:
    template = "x-" + "-".join(f"{{{name}}}" for name in PLACEHOLDERS)

    assert "/" not in expand_template(template, facts(prompt=prompt, backend=backend))


@pytest.mark.parametrize(
    "template",
    ["/x", "../x", "x/../y", "x/../../y", "./x", "x//y", "x/./y", "{backend}/x"],
)
def test_refuses_a_template_that_leaves_the_folder(template: str) -> None:
    with pytest.raises(InvalidRequest, match="points outside of the output folder"):
        expand_template(template, facts(backend=".."))


def test_refuses_a_nul_in_a_template() -> None:
    with pytest.raises(InvalidRequest, match="NUL"):
        expand_template("x\0y", facts())


@pytest.mark.parametrize("template", ["", "photos/", "{date}/"])
def test_refuses_a_template_that_names_nothing(template: str) -> None:
    with pytest.raises(InvalidRequest):
        expand_template(template, facts())


@given(written, written)
def test_any_template_gives_a_name_within_the_folder_or_a_sentence(
    template: str, backend: str
) -> None:
    try:
        name = expand_template(template, facts(backend=backend))
    except InvalidRequest as refused:
        assert refused.message.endswith(".")  # noqa: PT017 - either is fine
    else:
        parts = name.split("/")
        assert not {"", ".", ".."} & set(parts)
        assert all(size_of(part) <= LONGEST_NAME for part in parts)


@given(st.text(st.sampled_from("aé猫🐈."), min_size=200, max_size=400), st.booleans())
def test_leaves_room_for_a_number_and_a_sidecar(
    long: str, with_extension: bool
) -> None:
    template = f"x{long}" + (".{ext}" if with_extension else "")

    name = expand_template(template, facts())

    assert size_of(add_number(name, 99_999) + ".json") <= LONGEST_NAME


@pytest.mark.parametrize("letter", ["a", "é", "猫", "🐈"])
def test_cuts_between_letters(letter: str) -> None:
    name = expand_template(f"{letter * 300}.{{ext}}", facts())

    assert set(name.removesuffix(".png")) == {letter}
    assert 255 - 15 - 4 < size_of(name) <= 255 - 11


@pytest.mark.parametrize("letter", ["a", "é", "猫", "🐈"])
def test_cuts_folders_as_well(letter: str) -> None:
    folder, name = expand_template(f"{letter * 300}/x", facts()).split("/")

    assert set(folder) == {letter}
    assert 255 - 4 < size_of(folder) <= 255
    assert name == "x.png"


def test_keeps_the_extension_of_a_long_name() -> None:
    assert expand_template("x" * 300, facts()).endswith("x.png")


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("A cat in a fishbowl", "a-cat-in-a-fishbowl"),
        ("Café à la crème", "cafe-a-la-creme"),
        ("  --a--  ", "a"),
        ("猫", "mao"),
        ("🐈🐈", "cat2-cat2"),
        ("Красная лиса", "krasnaya-lisa"),
        ("القط الأحمر", "lqt-lhmr"),
        ("红狐狸在雪地里", "hong-hu-li-zai-xue-de-li"),
        ("東京タワー", "dong-jingtawa"),
        ("한국의 가을", "han-gug-ui-ga-eul"),
        ("Straße in Łódź", "strasse-in-lodz"),
        ("a 猫 b", "a-mao-b"),
        ("aMcD", "amcd"),
        ("½ ﬁsh", "1-2-fish"),
        ("\ue000\u200b", "image"),
        ("../../etc/passwd", "etc-passwd"),
        ("a\nb\tc", "a-b-c"),
        ("{ext}", "ext"),
    ],
)
def test_makes_a_slug_of_any_script(prompt: str, words: str) -> None:
    assert slugify(prompt) == words


@given(written)
def test_a_slug_is_short_and_plain(prompt: str) -> None:
    words = slugify(prompt)

    assert 1 <= len(words) <= 40
    assert words.isascii()
    assert words.replace("-", "x").isalnum()
    assert words == words.lower().strip("-")
    assert "--" not in words


@pytest.mark.parametrize("letter", ["a", "猫", "🐈", "\ufdfa", "e\u0301", " "])
def test_makes_a_slug_of_a_hundred_thousand_characters(letter: str) -> None:
    assert 1 <= len(slugify(letter * 100_000)) <= 40


def test_composed_and_decomposed_letters_make_the_same_slug() -> None:
    decomposed = unicodedata.normalize("NFD", "Zoë Ångström")

    assert slugify(decomposed) == slugify("Zoë Ångström") == "zoe-angstrom"


@pytest.mark.parametrize(
    ("name", "second"),
    [
        ("x.png", "x-2.png"),
        ("x", "x-2"),
        ("a.b/x", "a.b/x-2"),
        ("a.b/x.y.png", "a.b/x.y-2.png"),
        (".hidden", ".hidden-2"),
        ("d/.hidden", "d/.hidden-2"),
    ],
)
def test_numbers_before_the_extension(name: str, second: str) -> None:
    assert add_number(name, 2) == second


def test_names_never_end() -> None:
    assert list(islice(candidate_names("x.png"), 4)) == [
        "x.png",
        "x-2.png",
        "x-3.png",
        "x-4.png",
    ]


def test_one_image_gets_the_name_itself_or_the_next_free_one() -> None:
    named = Destination(name="x.png")

    names = named.names(facts(), number=1, count=1)

    assert list(islice(names, 3)) == ["x.png", "x-2.png", "x-3.png"]


def test_several_images_are_numbered() -> None:
    named = Destination(name="x.png")

    assert [next(named.names(facts(), number=n, count=2)) for n in (1, 2)] == [
        "x-1.png",
        "x-2.png",
    ]


def test_a_template_has_more_names_when_one_is_taken() -> None:
    templated = Destination(template="{slug}.{ext}")

    names = templated.names(facts(), number=3, count=5)

    assert list(islice(names, 2)) == ["a-cat.png", "a-cat-2.png"]


@pytest.mark.parametrize(
    ("destination", "media_type"),
    [(Destination(), None), (Destination(name="x.jpeg"), "image/jpeg")],
)
def test_only_a_name_asks_for_a_format(
    destination: Destination, media_type: str | None
) -> None:
    assert destination.media_type == media_type


@pytest.mark.parametrize(
    "destination",
    [
        Destination(name="x.gif"),
        Destination(name="x"),
        Destination(name="x" * 252 + ".png"),
        Destination(name="猫" * 84 + ".png"),
        Destination(template="../{slug}"),
    ],
)
def test_finds_wrong_names_before_anything_is_sent(destination: Destination) -> None:
    with pytest.raises(InvalidRequest):
        destination.check(at=AT, backend="mock", count=1, sidecar=True)


def test_a_name_may_be_longer_without_a_sidecar() -> None:
    longest = Destination(name="x" * 251 + ".png")

    longest.check(at=AT, backend="mock", count=1, sidecar=False)

    with pytest.raises(InvalidRequest, match="too long") as refused:
        longest.check(at=AT, backend="mock", count=1, sidecar=True)
    assert "250 bytes" in refused.value.hint


@pytest.mark.parametrize("backend", ["..", ".", "a/b", "", "猫", "\0"])
def test_the_default_template_suits_every_backend(backend: str) -> None:
    Destination().check(at=AT, backend=backend, count=1, sidecar=True)
