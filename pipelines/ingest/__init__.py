"""Inputs to documents: which files are read (`plan`), what a task makes of them (`task`).

`blocklist` keeps retracted documents from coming back with a new input.
"""
