import pytest

from imagen.adapters.imaging.convert import PillowEditor
from imagen.ports.images import ImageEditor
from imagen.testing import ImageEditorContract


class TestPillowEditor(ImageEditorContract):
    @pytest.fixture
    def editor(self) -> ImageEditor:
        return PillowEditor()
