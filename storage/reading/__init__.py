"""Reading Parquet files of any store: in batches, by row, under conditions, in parts."""
