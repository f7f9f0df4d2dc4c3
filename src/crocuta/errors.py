"""The one error that a user's input can cause."""


class InputError(ValueError):
    """Bad input from a user: one line that names the file, the record, what was found and what was expected.

    The command line prints it and exits with code 2; library users catch it as a `ValueError`.
    """
