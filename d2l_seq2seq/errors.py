"""What a user can mend.

The library raises `InputError` for bad input of every kind, with one line that says what was
expected, what came and what to do.  The commands print that line and exit with 2; any other
exception is a defect of ours and keeps its traceback.
"""


class InputError(ValueError):
    """The input can't be used; the message is one line for the person who gave it."""
