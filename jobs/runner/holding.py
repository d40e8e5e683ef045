"""One run of stages at a time on a corpus: the second is told before it begins to work.

A run that is at work says so in a small file of the warehouse, and renews it while it lives. This
is a notice and no lock: where two runs overlook each other all the same, the commits of the tables
decide, as they always do.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from strata.errors import ConcurrentChangeError, InputMissingError, StrataError
from strata.jobs.runner.options import RunOptions
from strata.settings import Settings
from strata.stages import STAGE_COMMANDS
from strata.storage.contracts.store import Store
from strata.storage.contracts.url import Url

__all__ = ["Holder", "Machine", "holding", "holds_corpus", "running_folder"]

BEAT_SECONDS = 60.0
STALE_SECONDS = 300.0
"""After so long without a sign of life, a run of another machine counts as dead."""
_JOIN_SECONDS = 10.0
_DEAD = ("Z", "X")


@dataclass(frozen=True, slots=True)
class Machine:
    """Where process ids mean the same: a host since its start, and a namespace of process ids."""

    host: str
    boot: str
    processes: str

    @classmethod
    def this(cls) -> Machine:
        """The machine of this process."""
        boot, namespace = "", ""
        # Only Linux has these.
        with suppress(OSError):
            boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        with suppress(OSError):
            namespace = os.readlink("/proc/self/ns/pid")
        return cls(socket.gethostname(), boot, namespace)


@dataclass(frozen=True, slots=True)
class Holder:
    """A run that is at work on a corpus, as its file says.

    Attributes:
        born: what tells the process from a later one of the same number, where that is known.
        beat: seconds since 1970 of its last sign of life.
        is_working: whether it has looked for others, and found none.
    """

    run_id: str
    attempt: str
    command: str
    machine: Machine
    pid: int
    born: str
    started: str
    beat: float = field(default_factory=time.time)
    is_working: bool = False

    @classmethod
    def of(cls, options: RunOptions) -> Holder:
        """This process, for a run."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        run_id, attempt, command = options.run_id, options.attempt, options.command
        pid = os.getpid()
        return cls(run_id, attempt, command, Machine.this(), pid, _birth(pid) or "", now)

    def lives(self) -> bool:
        """Whether it is at work, as far as can be told from here."""
        if self.machine != Machine.this():
            return time.time() - self.beat < STALE_SECONDS
        birth = _birth(self.pid)
        return birth is not None and birth == self.born


def _birth(pid: int) -> str | None:
    """When a process of this machine started, in its own unit; None where there is none."""
    try:
        state, *facts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return _birth_unknown(pid) if not Path("/proc/self/stat").exists() else None
    except OSError:
        return None
    return None if state in _DEAD else facts[18]


def _birth_unknown(pid: int) -> str | None:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return ""


def holds_corpus(command: str) -> bool:
    """Whether a command wants the corpus for itself: those that run stages do.

    Moves, rewrites and retractions are made to go on beside a run.
    """
    return all(each in STAGE_COMMANDS for each in command.split(", "))


def running_folder(settings: Settings) -> Url:
    """Folder with a file for each run that is at work on a corpus."""
    return Url.parse(settings.warehouse) / settings.corpus / "running"


@contextmanager
def holding(store: Store, settings: Settings, options: RunOptions) -> Iterator[None]:
    """Hold a corpus while a run of stages works on it; other commands hold nothing.

    Args:
        store: a store of the corpus.
        settings: the corpus.
        options: the run.

    Raises:
        ConcurrentChangeError: another run holds the corpus.
        MachineError: the warehouse cannot be written.
    """
    if not holds_corpus(options.command):
        yield
        return
    folder, me = running_folder(settings), Holder.of(options)
    place = folder / f"{options.attempt}.json"
    store.write_bytes(place, msgspec.json.encode(me))
    try:
        _refuse_others(store, folder, me, settings.corpus)
        with _signs_of_life(lambda: _renew(store, place, me)):
            yield
    finally:
        # What cannot be deleted counts as dead once this process has ended.
        with suppress(StrataError):
            store.delete(place)


def _renew(store: Store, place: Url, me: Holder) -> None:
    me = replace(me, beat=time.time(), is_working=True)
    store.write_bytes(place, msgspec.json.encode(me))


def _refuse_others(store: Store, folder: Url, me: Holder, corpus: str) -> None:
    for info in store.find(folder):
        other = _read(store, info.url)
        if other is None or other.attempt == me.attempt:
            continue
        if not other.lives():
            store.delete(info.url)
        # Of two that begin at the same time, one goes on.
        elif other.is_working or other.attempt < me.attempt:
            raise _held(other, info.url, corpus)


def _read(store: Store, url: Url) -> Holder | None:
    try:
        return msgspec.json.decode(store.read_bytes(url), type=Holder)
    except InputMissingError:
        # That run has ended meanwhile.
        return None
    except msgspec.MsgspecError:
        # A newer or older version has written it; then the commits decide.
        return None


def _held(other: Holder, place: Url, corpus: str) -> ConcurrentChangeError:
    age = max(0.0, time.time() - other.beat)
    if other.machine == Machine.this():
        hint = f"wait until it ends, or end process {other.pid}; then run the same command again"
    else:
        left = max(1, round(STALE_SECONDS - age))
        hint = (
            "wait until it ends, then run the same command again; if it is dead, this goes on "
            f"{left} seconds from now, or at once without {place}"
        )
    return ConcurrentChangeError(
        f"run {other.run_id!r} ({other.command}) is at work on the corpus {corpus}: process "
        f"{other.pid} on {other.machine.host} since {other.started}, last seen {age:.0f} seconds "
        "ago; nothing was done",
        hint=hint,
    )


@contextmanager
def _signs_of_life(renew: Callable[[], None], seconds: float = BEAT_SECONDS) -> Iterator[None]:
    """Renew the file of a run now, and again and again while a block runs."""
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(seconds):
            # A sign that fails is late; the next one may arrive.
            with suppress(StrataError):
                renew()

    renew()
    # A daemon thread does not keep a process that fails from ending.
    thread = threading.Thread(target=beat, name="strata-holding", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        # A sign on its way would arrive after the file was deleted.
        thread.join(_JOIN_SECONDS)
