"""Where searches are kept: a database of Optuna's, made safe for many processes.

Optuna hands a waiting trial to one process and finds the trials of processes that died. What it lacks is here: on
SQLite, transactions that lock when they begin (as Optuna opens it, two processes may be handed the same trial); a queue
that is filled once, however many processes fill it; and patience with a database that is away for a while.
"""

from __future__ import annotations

import json
import random
import re
import time
import warnings
import weakref
from datetime import datetime
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar
from urllib.parse import quote

import optuna
import sqlalchemy
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.storages._rdb.storage import _create_scoped_session
from optuna.trial import TrialState, create_trial
from sqlalchemy.exc import (
    DBAPIError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    PendingRollbackError,
    SQLAlchemyError,
)

from scalenet.arch.errors import RunError, ScalenetError
from scalenet.search.storage_url import parsed, scrubbed, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from optuna import Study
    from optuna.trial import FrozenTrial

PATIENCE = 600.0
"""Seconds that a database may be away in the middle of a search."""

JOB = "job"
"""The attribute of a trial that says what it evaluates; no two trials of a study have the same."""

_OPENING, _LOCKED = 3.0, 2.0
_LONGEST = 512
_ALIVE = {"connect_timeout": 10, "keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}
_FULL = ("is full", "i/o error", "no space left", "could not extend", "could not write", "too large", "readonly")

P = ParamSpec("P")
T = TypeVar("T")

optuna.logging.set_verbosity(optuna.logging.CRITICAL)


def _patient(method: Callable[Concatenate[Any, P], T]) -> Any:
    """Make a method try again while the database is away, and raise RunError where it stays away or is full."""

    @wraps(method)
    def patient(self: Storage, *args: P.args, **kwargs: P.kwargs) -> T:
        began, delay = time.monotonic(), 0.1
        while True:
            try:
                found = method(self, *args, **kwargs)
                if delay > 0.1:
                    self.returned = time.monotonic()
                return found
            except (StorageInternalError, SQLAlchemyError) as error:
                cause = error.__cause__ if isinstance(error, StorageInternalError) else error
                if not _away(cause) or time.monotonic() - began > self.patience:
                    raise RunError(f"{self.place}: {scrubbed(_said(cause), self.given)}", hint=KEPT) from None
            time.sleep(delay)
            delay = min(2 * delay, 5.0)

    return patient


KEPT = "what is finished is kept, and the same command goes on from there"


class Storage(RDBStorage):
    """An Optuna storage for many processes; what can fail is one plain line.

    `patience` is for how many seconds it may be away, `returned` when it last was (monotonic seconds).
    """

    def __init__(
        self, url: str, *, grace: int, retry: Callable[[Study, FrozenTrial], None], reading: bool = False
    ) -> None:
        """Open a database, and make its tables where they are missing unless it is only for `reading`.

        A process that has given no sign of life for `grace` seconds counts as dead: `retry` hears of its trials.
        """
        self.given, self.place = url, shown(url)
        self.patience, self.returned = PATIENCE, -float("inf")
        sqlite = url.startswith("sqlite")
        url = _read_only(url) if sqlite and reading else url
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            try:
                super().__init__(
                    url.replace("{", "{{").replace("}", "}}"),  # Optuna takes a URL for a template
                    engine_kwargs=_SQLITE if sqlite else _server(reading=reading),
                    heartbeat_interval=max(1, grace // 4),
                    grace_period=grace,
                    heartbeat_stale_trial_callback=retry,
                )
            finally:
                if hasattr(self, "engine"):
                    weakref.finalize(self, self.engine.dispose)
        if sqlite:
            sqlalchemy.event.listen(self.engine, "connect", _begin_by_hand)
            sqlalchemy.event.listen(self.engine, "begin", _begin_to_read if reading else _begin)
            self.engine.dispose()

    @_patient
    def settle(self, study_id: int, attributes: Mapping[str, Any]) -> dict[str, Any]:
        """Set those attributes of a study that are not set, and return what they are: the same for every process."""
        with _create_scoped_session(self.scoped_session) as session:
            study = models.StudyModel.find_or_raise_by_id(study_id, session, for_update=True)
            found = {attribute.key: json.loads(attribute.value_json) for attribute in study.user_attributes}
            for key, value in attributes.items():
                if key not in found:
                    text = json.dumps(value)
                    session.add(models.StudyUserAttributeModel(study_id=study_id, key=key, value_json=text))
        return {**attributes, **found}

    @_patient
    def enqueue(self, study_id: int, jobs: Iterable[Any]) -> None:
        """Add a waiting trial for each job that has no trial, all or none of them."""
        attribute = models.TrialUserAttributeModel
        with _create_scoped_session(self.scoped_session) as session:
            models.StudyModel.find_or_raise_by_id(study_id, session, for_update=True)
            query = session.query(attribute.value_json).join(models.TrialModel)
            known = {text for (text,) in query.filter(models.TrialModel.study_id == study_id, attribute.key == JOB)}
            for job in jobs:
                if json.dumps(job) not in known:
                    trial = create_trial(state=TrialState.WAITING, user_attrs={JOB: job})
                    self._get_prepared_new_trial(study_id, trial, session)

    @_patient
    def take(self, trial_id: int, worker: str) -> bool:
        """Make a waiting trial a process's, with its first sign of life; return whether it is that process's now."""
        with _create_scoped_session(self.scoped_session) as session:
            trial: Any = models.TrialModel.find_or_raise_by_id(trial_id, session, for_update=True)
            if trial.state is not TrialState.WAITING:  # taken by another, or by this one as the connection broke
                return _has(trial, worker)
            trial.state, trial.datetime_start = TrialState.RUNNING, datetime.now()
            session.add(models.TrialHeartbeatModel(trial_id=trial_id))
            self._note(session, trial_id, {"worker": worker})
        return True

    @_patient
    def beat(self, trial_id: int, worker: str, attributes: Mapping[str, Any]) -> bool:
        """Give a sign of life; return whether the trial is still that process's."""
        with _create_scoped_session(self.scoped_session) as session:
            trial: Any = models.TrialModel.find_or_raise_by_id(trial_id, session, for_update=True)
            if not _has(trial, worker):
                return False
            (heartbeat,) = trial.heartbeats
            heartbeat.heartbeat = session.execute(sqlalchemy.func.now()).scalar()
            self._note(session, trial_id, attributes)
        return True

    @_patient
    def end(
        self, trial_id: int, worker: str, state: TrialState, value: float | None, attributes: Mapping[str, Any]
    ) -> None:
        """End a trial with all that is to be known of it, if it is still that process's."""
        with _create_scoped_session(self.scoped_session) as session:
            trial: Any = models.TrialModel.find_or_raise_by_id(trial_id, session, for_update=True)
            if _has(trial, worker):
                self._note(session, trial_id, attributes)
                if value is not None:
                    self._set_trial_value_without_commit(session, trial, 0, value)
                trial.state, trial.datetime_complete = state, datetime.now()

    def _note(self, session: Any, trial_id: int, attributes: Mapping[str, Any]) -> None:
        for key, value in attributes.items():
            self._set_trial_attr_without_commit(session, models.TrialUserAttributeModel, trial_id, key, value)


def _has(trial: Any, worker: str) -> bool:
    """Return whether a process has a trial."""
    notes = {note.key: note.value_json for note in trial.user_attributes}
    return trial.state is TrialState.RUNNING and notes.get("worker") == json.dumps(worker)


for _name in (
    "create_new_study",
    "delete_study",
    "get_all_studies",
    "get_study_id_from_name",
    "get_study_directions",
    "get_study_user_attrs",
    "set_study_user_attr",
    "get_trial",
    "_get_trials",
    "set_trial_state_values",
    "set_trial_intermediate_value",
    "_get_stale_trial_ids",
):
    setattr(Storage, _name, _patient(getattr(RDBStorage, _name)))


def open_storage(
    url: str,
    *,
    grace: int,
    retry: Callable[[Study, FrozenTrial], None],
    patience: float = 0.0,
    reading: bool = False,
) -> Storage:
    """Open the storage at a URL, `sqlite:///FILE` or `postgresql://USER@HOST/DATABASE`.

    A server may be away for `patience` seconds. Who only reads needs no right to write. Raise ScalenetError where the
    URL is none, and RunError where the database cannot be opened.
    """
    began, full = time.monotonic(), _full_url(url)
    while True:
        try:
            return Storage(full, grace=grace, retry=retry, reading=reading)
        except ImportError as error:
            hint = "pip install 'scalenet-torch[postgresql]'"
            raise ScalenetError(f"{shown(url)}: {error}", hint=hint) from None
        except RuntimeError as error:  # the tables are those of another version of Optuna
            raise RunError(f"{shown(url)}: {scrubbed(_said(error), full)}") from None
        except (StorageInternalError, SQLAlchemyError) as error:
            cause = error.__cause__ if isinstance(error, StorageInternalError) else error
            if reading and re.search("read-?only", _said(cause)):  # the tables were to be made
                raise RunError(f"{shown(url)}: holds no search") from None
            limit = max(_OPENING if _racing(cause) else 0, patience if _away(cause) else 0)
            if time.monotonic() - began >= limit:
                raise RunError(f"{shown(url)}: {scrubbed(_said(cause), full)}") from None
        time.sleep(0.2 * random.random())


def search_names(url: str) -> list[str]:
    """Return the names of all searches in a storage."""
    storage = open_storage(url, grace=1, retry=lambda *_: None, reading=True)
    return [study.study_name for study in storage.get_all_studies()]


def check_name(name: str) -> None:
    """Refuse a name that a study cannot have."""
    if not 0 < len(name) <= _LONGEST:
        raise ScalenetError(f"the name of a search has 1 to {_LONGEST} characters, this one {len(name)}")


def _full_url(url: str) -> str:
    """Return a storage's URL with its driver."""
    parsed(url)
    scheme, colon, rest = url.partition("://")
    return f"postgresql+psycopg{colon}{rest}" if scheme.lower() in ("postgresql", "postgres") else url


# SQLite waits in C, where no signal is heard: briefly, and then `_patient` goes on. A server ends the transaction of a
# process that was stopped in the middle of one, so that it does not hold up the others.
_SQLITE = {"connect_args": {"timeout": _LOCKED}}


def _server(*, reading: bool) -> dict[str, Any]:
    options = "-c idle_in_transaction_session_timeout=10s" + " -c default_transaction_read_only=on" * reading
    return {"pool_pre_ping": True, "connect_args": {**_ALIVE, "options": options}}


def _read_only(url: str) -> str:
    """Return the URL that opens an SQLite file for reading alone."""
    parsed = sqlalchemy.make_url(url)
    file = parsed.set(database=f"file:{quote(str(parsed.database))}")
    return file.update_query_dict({"mode": "ro", "uri": "true"}).render_as_string(hide_password=False)


def _begin_by_hand(connection: Any, _: object) -> None:
    connection.isolation_level = None


def _begin(connection: sqlalchemy.Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _begin_to_read(connection: sqlalchemy.Connection) -> None:
    connection.exec_driver_sql("BEGIN")


def _away(cause: BaseException | None) -> bool:
    """Return whether an error may pass by itself: the server starts anew, a file is locked."""
    if isinstance(cause, PendingRollbackError):  # Optuna asks again on a connection that has just broken
        return True
    if not isinstance(cause, DBAPIError):
        return False
    lost = cause.connection_invalidated or isinstance(cause, OperationalError | InterfaceError)
    return lost and not any(word in str(cause.orig).lower() for word in _FULL)


def _racing(cause: BaseException | None) -> bool:
    """Return whether another process may be making the tables just now."""
    return isinstance(cause, IntegrityError) or any(word in _said(cause) for word in ("exist", "locked"))


def _said(cause: BaseException | None) -> str:
    """Return the first line of what a database said."""
    said = str(getattr(cause, "orig", None) or cause).strip()
    return said.splitlines()[0] if said else type(cause).__name__
