"""The exceptions that users catch."""

from __future__ import annotations

import inspect
import pickle

import pytest

import genops_otel_posthog
from genops_otel_posthog import errors

CLASSES = [thing for _, thing in inspect.getmembers(errors, inspect.isclass) if thing.__module__ == errors.__name__]


@pytest.mark.parametrize("error", CLASSES)
def test_one_except_clause_catches_every_error_of_this_package(error):
    assert issubclass(error, errors.GenOpsError)


@pytest.mark.parametrize("error", CLASSES)
def test_every_error_can_be_imported_from_the_package(error):
    assert getattr(genops_otel_posthog, error.__name__) is error


@pytest.mark.parametrize("error", CLASSES)
def test_every_error_says_what_it_is_given_and_survives_a_process_boundary(error):
    raised = error("GENOPS_TEAM is wrong")
    assert str(raised) == "GENOPS_TEAM is wrong"
    sent = pickle.loads(pickle.dumps(raised))
    assert (type(sent), sent.args) == (error, raised.args)


def test_a_failure_of_python_is_not_an_error_of_this_package():
    assert not issubclass(errors.GenOpsError, (ValueError, TypeError, OSError))
