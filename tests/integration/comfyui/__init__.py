"""A scripted ComfyUI on a real socket, and the tests that hold it to what was seen."""
