"""A workflow in the editor's format, for the nodes of the test server."""

import msgspec
from tests.integration.comfyui.nodes import MODELS, object_info
from tests.unit.adapters.backends.comfyui.editors import Document, draw
from tests.unit.adapters.backends.comfyui.graphs import node, stock

from imagen.adapters.backends.comfyui.node_types import NodeType

CHECKPOINT = "v1-5-pruned-emaonly-fp16.safetensors"


def draw_stock() -> Document:
    """What the editor saves: widgets in the order of the server, links as numbers."""
    types = msgspec.convert(object_info(MODELS), dict[str, NodeType])
    nodes = stock(
        n4=node("CheckpointLoaderSimple", ckpt_name=CHECKPOINT),
        n5=node("EmptyLatentImage", width=64, height=96, batch_size=1),
    )
    return draw(nodes, types)
