"""A Ceph object store with its S3 gateway."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from strata.storage.contracts.url import Url
from tests.support.servers.launch import Server, free_ports, running

__all__ = ["Ceph", "running_ceph"]

KEY = "testaccess"
SECRET = "testsecret0123456789"
SECRET_VARIABLE = "STRATA_TEST_CEPH_SECRET"
USER = "test"
ADMIN_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Ceph:
    """A running cluster: the processes ``mon``, ``osd`` and ``rgw`` of its server.

    Attributes:
        server: the processes; ``server.up()`` starts again what was killed.
        endpoint: address of the S3 gateway.
    """

    server: Server
    endpoint: str

    @property
    def options(self) -> dict[str, Any]:
        """fsspec options of ``s3://``; the secret is in the environment."""
        return {
            "key": KEY,
            "secret": f"env:{SECRET_VARIABLE}",
            "endpoint_url": self.endpoint,
        }

    def bucket(self) -> Url:
        """A new bucket."""
        name = f"b{uuid4().hex[:12]}"
        with self.client() as client:
            client.create_bucket(Bucket=name)
        return Url.parse(f"s3://{name}")

    @contextmanager
    def client(self) -> Iterator[Any]:
        """A boto3 client of the gateway."""
        import boto3

        client = boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
            region_name="us-east-1",
        )
        try:
            yield client
        finally:
            client.close()

    def admin(self, *command: str) -> str:
        """Run ``radosgw-admin …`` or ``ceph …`` on the cluster, and return what it prints."""
        return subprocess.run(
            command,
            env={**os.environ, "CEPH_CONF": str(self.server.folder / "ceph.conf")},
            capture_output=True,
            text=True,
            timeout=ADMIN_SECONDS,
            check=True,
        ).stdout

    @contextmanager
    def gateway_setting(self, name: str, value: str) -> Iterator[None]:
        """Change a setting of the running gateway for a while, such as its request limit."""
        socket = str(self.server.folder / "run/client.rgw.asok")
        shown = self.admin("ceph", "daemon", socket, "config", "get", name)
        before = shown.split('"')[3]
        self.admin("ceph", "daemon", socket, "config", "set", name, value)
        try:
            yield
        finally:
            self.admin("ceph", "daemon", socket, "config", "set", name, before)

    @contextmanager
    def quota(self, size: str) -> Iterator[None]:
        """Let the user of the options hold ``size`` (such as "60M") in all, for a while."""
        scope = ("--quota-scope=user", f"--uid={USER}")
        self.admin("radosgw-admin", "quota", "set", *scope, f"--max-size={size}")
        self.admin("radosgw-admin", "quota", "enable", *scope)
        try:
            yield
        finally:
            self.admin("radosgw-admin", "quota", "disable", *scope)


@contextmanager
def running_ceph() -> Iterator[Ceph]:
    """Run a Ceph cluster of one node; needs root the first time, to install it."""
    gateway, monitor = free_ports(2)
    environment = {
        "CEPH_RGW_PORT": str(gateway),
        "CEPH_MON_PORT": str(monitor),
        "CEPH_KEY": KEY,
        "CEPH_SECRET": SECRET,
    }
    with running("ceph.sh", environment) as server:
        os.environ[SECRET_VARIABLE] = SECRET
        try:
            yield Ceph(server, f"http://127.0.0.1:{gateway}")
        finally:
            del os.environ[SECRET_VARIABLE]
