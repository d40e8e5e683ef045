"""Documents that contain items of a benchmark: the items (`items`), the search, the matches."""
