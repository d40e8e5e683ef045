"""`strata doctor`: checks of the machine and of every tier."""
