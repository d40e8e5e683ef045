"""PyIceberg's side: snapshots, specs, commits, file access; loaded when first needed."""
