"""How far a job is, as its samplers' steps tell."""

from imagen.adapters.backends.comfyui.errors import display_node_name
from imagen.adapters.backends.comfyui.graph import ApiWorkflow
from imagen.ports.backend import JobContext


class StepReport:
    """How far a job is, as its samplers' steps tell; it never goes back."""

    def __init__(self, graph: ApiWorkflow) -> None:
        self._graph = graph
        self._samplers = {node for node in graph if _is_sampler(graph, node)}
        self._seen: list[str] = []
        self._fraction: float | None = None

    def enter(self, context: JobContext, node: str) -> None:
        """Say what a node does, when it begins."""
        self.report(context, _describe_activity(self._graph, node))

    def step(
        self, context: JobContext, node: str | None, value: int, most: int
    ) -> None:
        """Say that a node took a step."""
        if node is None or (self._samplers and node not in self._samplers):
            return
        if node not in self._seen:
            self._seen.append(node)
        passes = max(len(self._samplers), len(self._seen))
        done = self._seen.index(node) + value / most
        self._fraction = max(self._fraction or 0.0, min(1.0, done / passes))
        context.progress(
            self._fraction, "sampling", steps=most if passes == 1 else None
        )

    def report(self, context: JobContext, note: str) -> None:
        """Say what is going on, without being further."""
        context.progress(self._fraction, note)


def _is_sampler(graph: ApiWorkflow, node: str) -> bool:
    kind = str(graph[node].get("class_type", ""))
    return kind.startswith(("KSampler", "SamplerCustom")) and kind != "KSamplerSelect"


def _describe_activity(graph: ApiWorkflow, node: str) -> str:
    kind = str(graph.get(node, {}).get("class_type", ""))
    for sign, doing in _ACTIVITIES.items():
        if sign in kind:
            return doing
    return display_node_name(graph, node)


_ACTIVITIES = {
    "Loader": "loading the model",
    "TextEncode": "reading the prompt",
    "KSampler": "sampling",
    "SamplerCustom": "sampling",
    "VAEDecode": "decoding",
    "SaveImage": "saving",
    "PreviewImage": "saving",
}
