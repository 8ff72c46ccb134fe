"""The Python API: functions, `Studio` and the results that they return."""
