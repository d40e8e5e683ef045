"""What follows from what: keys of results, staleness, coverage, the guard against retractions.

The only room that makes the key of a result.
"""
