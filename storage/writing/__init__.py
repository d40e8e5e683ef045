"""Writing the tables' Parquet files: into tiers and partitions, at a measured level."""
