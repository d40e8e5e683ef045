"""`spark.read.format("strata")`: the data source (`source`) and its options."""
