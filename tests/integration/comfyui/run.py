"""One prompt from execution_start to `executing null`: its nodes, frames and files."""

import asyncio
import json
import os
import re
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.integration.comfyui import graph as graphs
from tests.integration.comfyui.graph import Picture
from tests.integration.comfyui.nodes import SAMPLING
from tests.integration.comfyui.png import ANIMATION, jpeg_like, png
from tests.integration.comfyui.records import (
    Failed,
    Interrupted,
    Preview,
    Prompt,
    State,
)

if TYPE_CHECKING:
    from tests.integration.comfyui.life import Life

ROOT = "/srv/comfyui"
PNG = "image/png"
MEDIA = {
    "SaveImageWebsocket": ("", b""),
    "SaveAnimatedWEBP": ("webp", ANIMATION),
    "SaveVideo": ("mp4", b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom"),
}
"""The nodes whose result is no file of one picture: its suffix and its bytes."""


class Run:
    """One prompt, from execution_start to `executing null`."""

    def __init__(self, life: "Life", prompt: Prompt) -> None:
        self.life, self.prompt, self.server = life, prompt, life.server
        self.schemas = life.server.schemas()
        self.messages: list[list[object]] = []
        self.progress: dict[str, dict[str, Any]] = {}
        self.outputs: dict[str, dict[str, Any]] = {}
        self.executed: list[str] = []
        self.node = ""
        self.step = 0
        self.begun = self.passed = False

    async def run(self) -> None:
        """Run it to its end, whichever that is."""
        prompt = self.prompt
        state: State
        try:
            await self._run_graph()
            state = "success"
            self._message("execution_success", {"prompt_id": prompt.id})
        except Interrupted:
            state = "interrupted"
            self._message("execution_interrupted", self._where(), broadcast=True)
        except Failed as failure:
            state = "error"
            self._message("execution_error", self._failure(failure))
        except Exception as error:  # noqa: BLE001 - as upstream: the worker lives on
            state = "error"
            failure = Failed(f"{error}\n", type(error).__name__)
            self._message("execution_error", self._failure(failure))
        self.life.last_node = None
        if prompt.trouble.files_deleted:
            _unlink(prompt.files)
        if prompt.trouble.history_late:
            await asyncio.sleep(prompt.trouble.history_late)
        self._finish(state)

    async def _run_graph(self) -> None:
        life, prompt = self.life, self.prompt
        names = graphs.signatures(prompt.graph)
        life.cache = {
            name: told for name, told in life.cache.items() if name in names.values()
        }
        cached = [node for node in prompt.graph if names[node] in life.cache]
        self._message("execution_start", {"prompt_id": prompt.id})
        self._message("execution_cached", {"nodes": cached, "prompt_id": prompt.id})
        order = graphs.Order(prompt.graph, prompt.outputs, self.schemas, cached)
        for self.node in order:
            await self._run_node(self.node, names[self.node])
            await asyncio.sleep(0)
        if not self.passed:
            await self._pass(prompt.trouble.at_step)

    def _finish(self, state: State) -> None:
        life, prompt = self.life, self.prompt
        life.running.remove(prompt)
        life.history.pop(prompt.id, None)
        life.history[prompt.id] = {
            "prompt": prompt.item,
            "outputs": self.outputs,
            "status": {
                "status_str": "success" if state == "success" else "error",
                "completed": state == "success",
                "messages": self.messages,
            },
            "meta": {node: _meta(node) for node in self.outputs},
        }
        if prompt.trouble.history_wiped:
            life.history.clear()
        life.send_status()
        if prompt.client_id is not None:
            self._send("executing", {"node": None, "prompt_id": prompt.id})
        prompt.end(state)
        self.server.note()

    async def _run_node(self, node: str, name: str) -> None:
        life, prompt = self.life, self.prompt
        kind = graphs.class_of(prompt.graph, node)
        if name in life.cache:
            told = life.cache[name]
            if told is not None:
                self.outputs[node] = told
                self._executed(node, told)
            self._progress(node, 1, 1, "finished")
            self.executed.append(node)
            return
        self._progress(node, 0.0, 1.0, "running")
        if prompt.client_id is not None:
            life.last_node = node
            said = {"node": node, "display_node": node, "prompt_id": prompt.id}
            self._send("executing", said)
        life.look()
        if not self.begun:
            self.begun = True
            await self._pass(0)
        if prompt.trouble.fails and prompt.trouble.fails_at in {node, kind}:
            raise Failed(prompt.trouble.fails, prompt.trouble.fails_with)
        if kind in SAMPLING:
            await self._sample(node)
        told = self._look(node, kind)
        if told is not None:
            self.outputs[node] = told
            self._executed(node, told)
        most = self.progress[node]["max"]
        self._progress(node, most, most, "finished")
        self.executed.append(node)
        life.cache[name] = told

    async def _sample(self, node: str) -> None:
        prompt = self.prompt
        steps = graphs.steps_of(prompt.graph, node)
        for step in range(1, steps + 1):
            await asyncio.sleep(self.server.step_seconds)
            self.life.look()
            picture = None
            if self.server.previews or self._wants_pictures():
                length = self.server.preview_bytes + prompt.trouble.huge_frames
                picture = self.server.preview_picture or jpeg_like(length, step)
            self._advance(node, step, steps, picture)
            self.step += 1
            await self._pass(self.step)

    def _wants_pictures(self) -> bool:
        """Newer servers let each prompt say whether it wants some."""
        wanted = self.prompt.extra_data.get("preview_method", "none")
        return self.server.newer and wanted != "none"

    async def _pass(self, step: int) -> None:
        """Come by a step, and meet the trouble that was ordered for it."""
        trouble = self.prompt.trouble
        if step != trouble.at_step:
            return
        self.passed = True
        await self.life.moment(self.prompt)
        if trouble.fails and trouble.fails_at is None:
            raise Failed(trouble.fails, trouble.fails_with)

    def _look(self, node: str, kind: str) -> dict[str, Any] | None:
        prompt, inputs = self.prompt, graphs.inputs_of(self.prompt.graph, node)
        if not self.schemas[kind]["output_node"]:
            return None
        if kind in MEDIA:
            return self._save_media(node, kind)
        if not graphs.is_link(inputs.get("images")):
            raise Failed("'str' object has no attribute 'cpu'", "AttributeError")
        seen = graphs.picture_at(prompt.graph, node)
        pictures = [self._draw(node, seen, index) for index in range(seen.count)]
        if kind == "PreviewImage":
            letters = "".join(chr(97 + c % 26) for c in uuid.uuid4().bytes[:5])
            prefix, root = f"ComfyUI_temp_{letters}", "temp"
        else:
            prefix, root = str(inputs["filename_prefix"]), "output"
        images = self._save(pictures, prefix, root)
        told: dict[str, Any] = {"images": images}
        if prompt.trouble.huge_frames:
            told["text"] = ["x" * prompt.trouble.huge_frames]
        return told

    def _save_media(self, node: str, kind: str) -> dict[str, Any] | None:
        """Save one file of all pictures, or send each over the socket."""
        inputs = graphs.inputs_of(self.prompt.graph, node)
        seen = graphs.picture_at(self.prompt.graph, node)
        if kind == "SaveImageWebsocket":
            for index in range(seen.count):
                picture = self._draw(node, seen, index)
                self._send("preview", Preview(picture, self._about(node), PNG))
                self._send("preview", Preview(picture, None, PNG))
            return None
        suffix, content = MEDIA[kind]
        images = self._save([content], str(inputs["filename_prefix"]), "output", suffix)
        return {"images": images, "animated": [True]}

    def _draw(self, node: str, seen: Picture, index: int) -> bytes:
        prompt = self.prompt
        source = graphs.inputs_of(prompt.graph, node)["images"][0]
        seed = int(graphs.signatures(prompt.graph)[source][:8], 16) + index
        return png(
            width=seen.width,
            height=seen.height,
            seed=seed,
            texts={"prompt": json.dumps(prompt.graph)},
        )

    def _save(
        self, pictures: list[bytes], prefix: str, root: str, suffix: str = "png"
    ) -> list[dict[str, str]]:
        subfolder, name = os.path.split(os.path.normpath(prefix))
        folder = self.server.folder / root / subfolder
        folder.mkdir(parents=True, exist_ok=True)
        counter = _next_counter(folder, name)
        images = []
        for filename in (
            f"{name}_{counter + n:05}_.{suffix}" for n in range(len(pictures))
        ):
            self.prompt.files.append(folder / filename)
            images.append({"filename": filename, "subfolder": subfolder, "type": root})
        for path, content in zip(
            self.prompt.files[-len(pictures) :], pictures, strict=True
        ):
            path.write_bytes(content)
        return images

    # Frames

    def _send(self, kind: str, said: Any) -> None:
        trouble = self.prompt.trouble
        if kind in trouble.loses_frames or "*" in trouble.loses_frames:
            return
        self.life.send(kind, said, self.prompt.client_id, late=trouble.late_frames)

    def _message(
        self, kind: str, said: dict[str, Any], *, broadcast: bool = False
    ) -> None:
        said = {**said, "timestamp": int(time.time() * 1000)}
        self.messages.append([kind, said])
        if broadcast or self.prompt.client_id is not None:
            self._send(kind, said)

    def _progress(self, node: str, value: float, most: float, state: str) -> None:
        self.progress[node] = {
            "value": value,
            "max": most,
            "state": state,
            "node_id": node,
            "prompt_id": self.prompt.id,
            "display_node_id": node,
            "parent_node_id": None,
            "real_node_id": node,
        }
        shown = {each: dict(told) for each, told in self.progress.items()}
        self._send("progress_state", {"prompt_id": self.prompt.id, "nodes": shown})

    def _executed(self, node: str, told: dict[str, Any]) -> None:
        if self.prompt.client_id is not None:
            self._send(
                "executed",
                {
                    "node": node,
                    "display_node": node,
                    "output": told,
                    "prompt_id": self.prompt.id,
                },
            )

    def _advance(
        self,
        node: str,
        value: int,
        most: int,
        picture: bytes | None,
    ) -> None:
        prompt_id = self.prompt.id
        self._progress(node, value, most, "running")
        about = self._about(node)
        if picture is not None:
            self._send("preview", Preview(picture, about))
        said = {"value": value, "max": most, "prompt_id": prompt_id, "node": node}
        self._send("progress", said)
        if picture is not None:
            self._send("preview", Preview(picture))

    def _about(self, node: str) -> dict[str, Any]:
        return {
            "node_id": node,
            "prompt_id": self.prompt.id,
            "display_node_id": node,
            "parent_node_id": None,
            "real_node_id": node,
        }

    def _where(self) -> dict[str, Any]:
        graph = self.prompt.graph
        return {
            "prompt_id": self.prompt.id,
            "node_id": self.node,
            "node_type": graphs.class_of(graph, self.node) if self.node else "",
            "executed": list(self.executed),
        }

    def _failure(self, failure: Failed) -> dict[str, Any]:
        traceback = [
            f'  File "{ROOT}/execution.py", line {496 - depth}, in execute\n'
            f"    output_data, output_ui = await get_output_data({depth})\n"
            for depth in range(24)
        ]
        tensor = "tensor([[[[0., 0., 0.,  ..., 0., 0., 0.]]]])"
        padding = "x" * self.prompt.trouble.huge_frames
        kind = graphs.class_of(self.prompt.graph, self.node)
        inputs = [
            *graphs.inputs_of(self.prompt.graph, self.node),
            *self.schemas[kind]["input"].get("hidden", ()),
        ]
        return {
            **self._where(),
            "exception_message": failure.message,
            "exception_type": failure.kind,
            "traceback": traceback,
            "current_inputs": {name: [tensor + padding] for name in inputs},
            "current_outputs": list(self.executed),
        }


def _meta(node: str) -> dict[str, object]:
    return {
        "node_id": node,
        "display_node": node,
        "parent_node": None,
        "real_node_id": node,
    }


def _unlink(files: list[Path]) -> None:
    for path in files:
        path.unlink(missing_ok=True)


def _next_counter(folder: Path, name: str) -> int:
    pattern = re.compile(re.escape(name) + r"_(\d+)_?\.", re.IGNORECASE)
    found = (pattern.match(path.name) for path in folder.iterdir())
    return 1 + max((int(match[1]) for match in found if match), default=0)
