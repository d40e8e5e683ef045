"""Moving bytes: in parallel, ahead of the reader, with retries, counted."""
