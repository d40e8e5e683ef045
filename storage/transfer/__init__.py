"""Transfer: parallel ranges, uploads in parts, retries, and several endpoints for a tier."""
