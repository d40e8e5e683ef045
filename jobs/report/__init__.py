"""The report of a run: its figures, the summary on the terminal, the HTML page."""
