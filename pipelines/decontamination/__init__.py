"""Documents that contain benchmark items: the items (`items`), the search, the matches."""
