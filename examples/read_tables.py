"""Reading the tables: ``python examples/read_tables.py SETTINGS`` after a run.

From PyArrow, DuckDB and Polars; the extra `dev` brings the latter two.
"""

from __future__ import annotations

import sys

import strata

__all__ = ["longest_with_duckdb", "main", "tokens_with_polars"]


def longest_with_duckdb(corpus: strata.Corpus) -> list[tuple[str, int]]:
    """Ids and tokens of the three longest documents, by a join of two tables."""
    import duckdb

    with duckdb.connect() as connection:
        corpus.table("clean").to_duckdb(connection, ["doc_id", "id"])
        corpus.table("tokens").to_duckdb(connection, ["doc_id", "n_tokens"])
        query = "select id, n_tokens from clean join tokens using (doc_id) order by 2 desc, 1"
        return connection.sql(f"{query} limit 3").fetchall()


def tokens_with_polars(corpus: strata.Corpus) -> int:
    """Tokens of all documents."""
    return int(corpus.table("tokens").to_polars(["n_tokens"])["n_tokens"].sum())


def main(settings: str) -> int:
    """Read the tables in three ways; returns the number of tokens."""
    with strata.open(settings) as corpus:
        for batch in corpus.table("clean").to_arrow_batches(["id", "text"]):
            print(f"Arrow: a batch of {batch.num_rows} texts")
        print("DuckDB:", longest_with_duckdb(corpus))
        tokens = tokens_with_polars(corpus)
        print("Polars:", tokens, "tokens")
        return tokens


if __name__ == "__main__":
    main(sys.argv[1])
