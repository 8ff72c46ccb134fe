from threading import Thread

from imagen.engine.cancellation import Cancellation


def test_calls_everyone_who_listens_once() -> None:
    cancellation, heard = Cancellation(), list[str]()
    cancellation.on_cancel(lambda: heard.append("first"))
    cancellation.on_cancel(lambda: heard.append("second"))

    cancellation.cancel()
    cancellation.cancel()

    assert heard == ["first", "second"]
    assert cancellation.event.is_set()


def test_calls_who_comes_late_at_once() -> None:
    cancellation, heard = Cancellation(), list[str]()
    cancellation.cancel()

    cancellation.on_cancel(lambda: heard.append("late"))

    assert heard == ["late"]


def test_one_that_fails_does_not_keep_the_others_from_hearing() -> None:
    cancellation, heard = Cancellation(), list[str]()
    cancellation.on_cancel(lambda: heard.index("nothing"))
    cancellation.on_cancel(lambda: heard.append("second"))

    cancellation.cancel()

    assert heard == ["second"]


def test_a_listener_may_listen_and_cancel_again() -> None:
    cancellation, heard = Cancellation(), list[str]()
    cancellation.on_cancel(cancellation.cancel)
    cancellation.on_cancel(
        lambda: cancellation.on_cancel(lambda: heard.append("inner"))
    )

    cancellation.cancel()

    assert heard == ["inner"]


def test_is_thrown_once_by_many_threads() -> None:
    cancellation, heard = Cancellation(), list[str]()
    cancellation.on_cancel(lambda: heard.append("once"))
    threads = [Thread(target=cancellation.cancel) for _ in range(8)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert heard == ["once"]
