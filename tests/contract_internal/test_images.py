import pytest
from tests.contract_internal.contracts.images import ImageEditorContract

from imagen.adapters.imaging.convert import PillowEditor
from imagen.ports.images import ImageEditor


class TestPillowEditor(ImageEditorContract):
    @pytest.fixture
    def editor(self) -> ImageEditor:
        return PillowEditor()
