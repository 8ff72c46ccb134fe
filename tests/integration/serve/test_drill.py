from pathlib import Path

import pytest
from tests.integration.serve.drill import Drill


# By day the drill runs at its smoke size (tests/integration/test_benchmarks.py).
@pytest.mark.nightly
def test_every_paid_image_is_stored_once_however_often_the_server_is_killed(
    tmp_path: Path,
) -> None:
    requests, kills = 150, 4
    drill = Drill(tmp_path, requests=requests, kills=kills, at_once=8, seed=7)
    drill.run()
    drill.finish()

    found = drill.found()
    assert drill.kills == kills
    assert set(found.values()) == {found["paid"]}, (found, drill.refused)
    assert len(drill.answers) == found["paid"], drill.refused
    assert len(drill.answers) + drill.refused.total() == requests
    assert set(drill.refused) <= {"unfinished"}  # never accepted, and not sent again
