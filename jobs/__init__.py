"""Floor 3: jobs, command line, session, reports."""
