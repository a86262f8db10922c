"""What is taken where something is damaged: the first that is not."""
from __future__ import annotations

import logging
from pathlib import Path
from typing import Callable, Sequence, TypeVar

from ..errors import InputError

logger = logging.getLogger(__name__)
Result = TypeVar('Result')


def first_good(places: Sequence[Path], load: Callable[[Path], Result]) -> Result:
    """What `load` makes of the first folder, of one at least, that it doesn't refuse.

    The log names those before it.

    Raises
    ------
    InputError
        That of the first folder, if all are refused.
    """
    failures = []
    for place in places:
        try:
            result = load(place)
        except InputError as error:
            failures.append(error)
            continue
        for failure in failures:
            logger.warning('%s; %s is taken in its place', failure, place)
        return result
    raise failures[0]
