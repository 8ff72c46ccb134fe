"""The progress of a prompt: the activity of a node, and the share of all steps.

ComfyUI counts steps for each node and has no overall percentage (0.3.64).
"""

from imagen.adapters.backends.comfyui.errors import display_node_name
from imagen.adapters.backends.comfyui.graph import ApiWorkflow
from imagen.adapters.backends.comfyui.history import PromptState
from imagen.adapters.backends.comfyui.protocol import PromptMessage
from imagen.adapters.remote.vendor import JobRunning

# A loader sends no progress while it loads: 9 s of silence for a FLUX checkpoint
# (observed on 0.3.64). The note is all that a user sees in that time.
_ACTIVITIES = {
    "Loader": "loading the model",
    "TextEncode": "encoding the prompt",
    "KSampler": "sampling",
    "SamplerCustom": "sampling",
    "VAEDecode": "decoding",
    "SaveImage": "saving",
    "PreviewImage": "saving",
}


class PromptProgress:
    """The progress of one prompt, from its messages.

    Attributes:
        activity: What the server does now, in one or two words.
    """

    def __init__(self, graph: ApiWorkflow) -> None:
        self._graph = graph
        self._samplers = {node for node in graph if _is_sampler(graph, node)}
        self._seen: list[str] = []
        self.activity = "running"

    def read(self, message: PromptMessage, state: PromptState) -> JobRunning:
        """Return the progress after a message that has changed the state."""
        if state.node is not None:
            if message.type == "progress" and state.step is not None:
                return self._read_step(state.node, *state.step)
            if message.type == "executing":
                self.activity = _describe_activity(self._graph, state.node)
        return JobRunning(note=self.activity)

    def _read_step(self, node: str, value: int, total: int) -> JobRunning:
        """Return the share of all steps; only the steps of samplers count."""
        if self._samplers and node not in self._samplers:
            return JobRunning(note=self.activity)
        if node not in self._seen:
            self._seen.append(node)
        passes = max(len(self._samplers), len(self._seen))
        return JobRunning(
            fraction=(self._seen.index(node) + value / total) / passes,
            note="sampling",
            steps=total if passes == 1 else None,
        )


def _is_sampler(graph: ApiWorkflow, node: str) -> bool:
    kind = str(graph[node].get("class_type", ""))
    return kind.startswith(("KSampler", "SamplerCustom")) and kind != "KSamplerSelect"


def _describe_activity(graph: ApiWorkflow, node: str) -> str:
    kind = str(graph.get(node, {}).get("class_type", ""))
    for part, activity in _ACTIVITIES.items():
        if part in kind:
            return activity
    return display_node_name(graph, node)
