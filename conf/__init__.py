"""Strata: raw text to training corpus, on Spark.

Floor 0: settings, errors, version. The floors above are :mod:`strata.storage`,
:mod:`strata.pipelines` and :mod:`strata.jobs`; an import only ever points down.
"""

from strata import version

__all__ = ["__version__"]

__version__ = version.VERSION
