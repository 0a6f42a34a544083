"""Optuna's storage in a database that may be away for a while."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import sqlalchemy
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RDBStorage

from rdsearch.errors import SearchError
from rdsearch.search.store.patience import PATIENCE_SECONDS, patiently

_CALLS = (
    "create_new_study",
    "set_study_user_attr",
    "set_study_system_attr",
    "get_study_id_from_name",
    "get_study_name_from_id",
    "get_study_directions",
    "get_study_user_attrs",
    "get_study_system_attrs",
    "get_all_studies",
    "_create_new_trial",
    "_set_trial_param",
    "get_trial_id_from_study_id_trial_number",
    "set_trial_state_values",
    "set_trial_user_attr",
    "set_trial_system_attr",
    "get_trial",
    "_get_trials",
)
"""What Optuna's cache asks of the storage behind it; each is a transaction of its own."""


class PatientStorage(RDBStorage):
    """Tries again what fails since the database is away, for a minute.

    Args:
        url: The database's.
        unreachable: Makes the error of one that stays away; after it nothing is waited for any more.
    """

    def __init__(self, url: str, unreachable: Callable[[Exception], SearchError]) -> None:
        self._unreachable = unreachable
        self._patience = 0.0
        # A connection that was cut while no trial ended is opened anew.
        super().__init__(url, engine_kwargs={"pool_pre_ping": True})
        self._patience = PATIENCE_SECONDS


def _is_away(error: BaseException | None) -> bool:
    """Whether an error, or what it came from, is a lost or refused connection."""
    while error is not None:
        if isinstance(error, sqlalchemy.exc.OperationalError | sqlalchemy.exc.InterfaceError):
            return True
        if isinstance(error, sqlalchemy.exc.DBAPIError) and error.connection_invalidated:
            return True
        error = error.__cause__
    return False


def _patient(call: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(call)
    def patient(self: PatientStorage, *arguments: Any, **options: Any) -> Any:
        failed = False

        def attempt() -> Any:
            nonlocal failed
            try:
                return call(self, *arguments, **options)
            except UpdateFinishedTrialError:
                if failed:  # the attempt before reached the database, and its answer did not reach us
                    return True
                raise
            except Exception:
                failed = True
                raise

        try:
            return patiently(attempt, _is_away, self._patience)
        except Exception as error:
            if not _is_away(error):
                raise
            self._patience = 0.0
            raise self._unreachable(error) from None

    return patient


for _name in _CALLS:
    setattr(PatientStorage, _name, _patient(getattr(RDBStorage, _name)))
