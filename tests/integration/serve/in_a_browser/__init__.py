"""The gallery in Chromium, used with mouse and keyboard."""
