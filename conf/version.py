"""The version of Strata; it goes into reports, table properties and stage keys."""

VERSION = "0.1.0"
