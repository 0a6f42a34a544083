"""Calling a function with options that a user wrote."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from rdsearch.base.registry import suggest
from rdsearch.errors import TaskError

T = TypeVar("T")


def check_takes(function: Callable[..., Any], arguments: int, what: str) -> None:
    """Check that a user's function can be called with so many positional arguments.

    Args:
        function: Not called. One without a signature that Python can see passes.
        arguments: How many there will be.
        what: The function's role, and what it is given, for messages.

    Raises:
        TaskError: It needs fewer, or more.
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return
    try:
        signature.bind(*[None] * arguments)
    except TypeError as error:
        raise TaskError(f"{what}: {error}; it takes {signature}") from None


def taken_by(function: Callable[..., Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Those of ``options`` that a function has parameters for."""
    parameters = inspect.signature(function).parameters
    return {name: value for name, value in options.items() if name in parameters}


def call_with_options(function: Callable[..., T], options: Mapping[str, Any], what: str, *arguments: Any) -> T:
    """Call ``function(*arguments, **options)`` once the options are known to be parameters of it.

    Args:
        function: What is called.
        options: Keyword arguments, as the user gave them.
        what: The function's role and name, for messages.
        *arguments: Given by the program.

    Raises:
        TaskError: An option that the function does not take, or one that it needs and that is missing.
    """
    parameters = inspect.signature(function).parameters
    try:
        inspect.signature(function).bind(*arguments, **options)
    except TypeError as error:
        known = list(parameters)[len(arguments) :]
        near = "".join(suggest(option, known) for option in options if option not in parameters)
        raise TaskError(
            f"{what} with options {dict(options)}: {error}; it takes {', '.join(known) or 'no options'}.{near}"
        ) from None
    return function(*arguments, **options)
