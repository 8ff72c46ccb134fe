"""Progress of a job, from the steps of its samplers."""

from imagen.adapters.backends.comfyui.errors import display_node_name
from imagen.adapters.backends.comfyui.graph import ApiWorkflow
from imagen.ports.job_context import JobContext


class StepReport:
    """Reports the progress of a job; the fraction never decreases.

    ComfyUI counts steps for each node and has no overall percentage (0.3.64).
    """

    def __init__(self, graph: ApiWorkflow) -> None:
        self._graph = graph
        self._samplers = {node for node in graph if _is_sampler(graph, node)}
        self._seen: list[str] = []
        self._fraction: float | None = None

    def enter(self, context: JobContext, node: str) -> None:
        """Report what a node does when it starts."""
        self.report(context, _describe_activity(self._graph, node))

    def step(
        self, context: JobContext, node: str | None, value: int, total: int
    ) -> None:
        """Report step `value` of `total` of a node; only samplers count."""
        if node is None or (self._samplers and node not in self._samplers):
            return
        if node not in self._seen:
            self._seen.append(node)
        passes = max(len(self._samplers), len(self._seen))
        done = self._seen.index(node) + value / total
        self._fraction = max(self._fraction or 0.0, min(1.0, done / passes))
        context.progress(
            self._fraction, "sampling", steps=total if passes == 1 else None
        )

    def report(self, context: JobContext, note: str) -> None:
        """Report a note without a new fraction."""
        context.progress(self._fraction, note)


def _is_sampler(graph: ApiWorkflow, node: str) -> bool:
    kind = str(graph[node].get("class_type", ""))
    return kind.startswith(("KSampler", "SamplerCustom")) and kind != "KSamplerSelect"


def _describe_activity(graph: ApiWorkflow, node: str) -> str:
    kind = str(graph.get(node, {}).get("class_type", ""))
    for part, activity in _ACTIVITIES.items():
        if part in kind:
            return activity
    return display_node_name(graph, node)


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
