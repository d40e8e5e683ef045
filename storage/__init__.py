"""Floor 1: fsspec, Parquet, the catalog, tiers. No pyspark below this line."""
