"""Running stages: progress, failures, exit codes."""
