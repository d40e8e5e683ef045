"""From inputs to documents: which files are read (`plan`), and how a task reads them (`task`).

`blocklist` keeps retracted documents from coming back with a new input.
"""
