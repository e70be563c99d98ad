"""What goes wrong with data: an error that stops, and a warning that does not."""


class DataError(ValueError):
    """A data set that cannot be used; one line: what, where, what is allowed or how to get it."""


class DataWarning(UserWarning):
    """A data set that is used although its files are not the official ones."""
