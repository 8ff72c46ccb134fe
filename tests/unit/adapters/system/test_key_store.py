"""Secrets in the keyring of the desktop."""

import sys
from collections.abc import Iterator

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked

from imagen.adapters.backends.replicate.adapter import ReplicateOptions
from imagen.adapters.system.key_store import read_secret, store_secret
from imagen.domain.errors import Misconfigured
from imagen.settings.environment import Environment

NAME = "keyring:imagen/replicate"


class Memory(KeyringBackend):
    """A keyring in memory."""

    priority = 1  # type: ignore[assignment]  # a property of the class

    def __init__(self, *, locked: bool = False) -> None:
        self.entries: dict[tuple[str, str], str] = {}
        self.locked = locked

    def get_password(self, service: str, username: str) -> str | None:
        if self.locked:
            raise KeyringLocked("It is locked.\nDo this and that.")
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        if self.locked:
            raise KeyringLocked
        self.entries[service, username] = password


@pytest.fixture
def memory() -> Iterator[Memory]:
    before, memory = keyring.get_keyring(), Memory()
    keyring.set_keyring(memory)
    yield memory
    keyring.set_keyring(before)


def test_a_stored_secret_is_read_by_its_name(memory: Memory) -> None:
    store_secret(NAME, "canary")

    assert memory.entries == {("imagen", "replicate"): "canary"}
    assert read_secret(NAME) == "canary"
    assert read_secret("keyring:imagen/other") == ""


@pytest.mark.usefixtures("memory")
def test_an_option_may_name_an_entry_of_the_keyring() -> None:
    store_secret(NAME, "canary")
    options = ReplicateOptions(api_token_env=NAME)

    secrets = Environment({}).secrets_for(options)

    assert secrets.get("api_token_env") == "canary"
    assert "canary" not in repr(secrets)


def test_a_keyring_that_is_locked_is_an_error_in_one_line(memory: Memory) -> None:
    memory.locked = True

    for use in (lambda: read_secret(NAME), lambda: store_secret(NAME, "canary")):
        with pytest.raises(Misconfigured) as caught:
            use()
        assert caught.value.message.startswith(f"{NAME} cannot be used: ")
        assert "\n" not in caught.value.message
        assert "canary" not in str(caught.value)


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring.errors", None)

    with pytest.raises(Misconfigured, match="needs the extra `keyring`") as caught:
        read_secret(NAME)

    assert "imagen-studio[keyring]" in caught.value.hint


@pytest.mark.parametrize("name", ["keyring:", "keyring:x", "keyring:a/b/c"])
def test_a_name_of_another_form_is_refused(name: str) -> None:
    with pytest.raises(Misconfigured, match="SERVICE/NAME"):
        read_secret(name)
