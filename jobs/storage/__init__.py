"""The actions of `strata storage`, a module each with a function `run`."""
