"""The library's errors. Anything else that a function raises is a bug, or the operating system's."""


class ResnetlibError(Exception):
    """Base class of the library's own errors."""


class InputError(ResnetlibError, ValueError):
    """An argument, a file or an image has a value that cannot be used."""


class InputTypeError(ResnetlibError, TypeError):
    """An argument has a type that cannot be used."""
