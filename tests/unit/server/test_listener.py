"""The addresses that the server listens on."""

import socket
from contextlib import closing
from pathlib import Path

import pytest

from imagen.domain.errors import Unavailable, UsageError
from imagen.server.listener import Address, bind, parse_address, release


def test_a_port_in_use_is_named() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        port = other.getsockname()[1]

        with pytest.raises(UsageError) as caught:
            bind(parse_address(str(port)))

    assert caught.value.message == f"Port {port} of 127.0.0.1 is in use."
    assert "--addr" in caught.value.hint


def test_an_address_of_another_machine_is_unavailable() -> None:
    with pytest.raises(Unavailable, match=r"Cannot listen on 192\.0\.2\.7:0"):
        bind(Address(host="192.0.2.7"))


def test_a_unix_socket_is_for_the_user_and_the_group(tmp_path: Path) -> None:
    address = parse_address(f"unix:{tmp_path / 's'}")
    with closing(bind(address)):
        assert address.is_loopback
        assert (tmp_path / "s").stat().st_mode & 0o777 == 0o660
        with pytest.raises(UsageError, match="is in use"):
            bind(address)
        release(address)

    assert list(tmp_path.iterdir()) == []


def test_the_socket_of_a_killed_server_is_replaced(tmp_path: Path) -> None:
    address = parse_address(f"unix:{tmp_path / 's'}")
    bind(address).close()  # the file stays, as after kill -9

    with closing(bind(address)), socket.socket(socket.AF_UNIX) as client:
        client.connect(address.path)


def test_no_other_file_is_replaced(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("notes")

    with pytest.raises(UsageError, match="is in use"):
        bind(parse_address(f"unix:{file}"))

    assert file.read_text() == "notes"
