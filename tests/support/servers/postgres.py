"""A PostgreSQL server for catalogs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import uuid4

from tests.support.servers.launch import Server, free_ports, running

__all__ = ["Postgres", "running_postgres"]

PASSWORD = "testpassword0123"


@dataclass(frozen=True, slots=True)
class Postgres:
    """A running server: the process ``postgres``.

    Attributes:
        server: the process; ``server.up()`` starts it again.
        port: where it listens.
    """

    server: Server
    port: int

    @property
    def uri(self) -> str:
        """SQLAlchemy's address of the database ``strata``; libpq finds the password itself."""
        return self._uri("strata")

    def database(self) -> str:
        """The address of a new, empty database."""
        import psycopg

        name = f"d{uuid4().hex[:12]}"
        address = self.uri.replace("+psycopg", "")
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return self._uri(name)

    def _uri(self, database: str) -> str:
        return f"postgresql+psycopg://strata@127.0.0.1:{self.port}/{database}"


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """Run a server; the password of its user is in the variable PGPASSWORD meanwhile."""
    (port,) = free_ports(1)
    environment = {"POSTGRES_PORT": str(port), "POSTGRES_PASSWORD": PASSWORD}
    with running("postgres.sh", environment) as server:
        os.environ["PGPASSWORD"] = PASSWORD
        try:
            yield Postgres(server, port)
        finally:
            del os.environ["PGPASSWORD"]
