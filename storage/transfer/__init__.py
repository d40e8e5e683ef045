"""Moving bytes: in parallel, ahead of the reader, sent again, counted."""
