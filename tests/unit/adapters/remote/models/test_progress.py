import pytest

from imagen.adapters.remote.models.progress import LogProgress, read_progress


@pytest.mark.parametrize(
    ("logs", "steps", "bars"),
    [
        ("", 4, None),
        (" 50%|█████     | 2/4 [00:00<00:00, 6.55it/s]", 4, LogProgress(2, 4)),
        (
            "  0%|          | 0/4 [00:00<?]\r 25%|##5       | 1/4 [..]",
            4,
            LogProgress(1, 4),
        ),
        ("100%|██████████| 9/9 [..]\n  0%|  | 0/28 [..]", 28, LogProgress(0, 28)),
        ("100%|██████████| 9/9 [..]", 28, None),
        ("100%|██████████| 9/9 [..]", None, LogProgress(9, 9)),
        ("50%|x| 0/0", None, None),
        ("50% done | 3/4", None, None),
        (f"50%|x| {'9' * 5000}/{'9' * 5000}", None, None),
    ],
)
def test_reads_the_bars_of_a_log(
    logs: str, steps: int | None, bars: LogProgress | None
) -> None:
    assert read_progress(logs, steps=steps) == bars
