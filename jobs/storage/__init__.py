"""The actions of `strata storage`: one module each, with a function `run`."""
