from pathlib import Path

import pytest
from tests.integration.serve.drill import Drill


@pytest.mark.timeout(170)
def test_every_paid_image_is_stored_once_however_often_the_server_is_killed(
    tmp_path: Path,
) -> None:
    drill = Drill(tmp_path, requests=150, kills=4, at_once=8, seed=7)
    drill.run()
    drill.finish()

    found = drill.found()
    assert drill.kills == 4
    assert set(found.values()) == {found["paid"]}, (found, drill.refused)
    assert len(drill.answers) == found["paid"], drill.refused
    assert len(drill.answers) + drill.refused.total() == 150
    assert set(drill.refused) <= {"unfinished"}  # never accepted, and not sent again
