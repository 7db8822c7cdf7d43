"""Every error that mcgc raises on purpose: one sentence each, saying what was wrong, where, and what to do."""


class McgcError(Exception):
    """Any error of the library's own."""


class InputError(McgcError, ValueError):
    """A value, name or option that the caller gave cannot be used."""


class DeviceError(InputError):
    """The device that was asked for is not there or cannot be used."""


class DatasetError(InputError):
    """A dataset file is missing, unreadable, or not laid out as its problem needs."""


class OutputError(InputError):
    """The place where results should go cannot be written."""


class TraceError(McgcError, TypeError):
    """A traced array, or a function under a transform, was used in a way that has no derivative."""


class SolveError(McgcError):
    """A differential equation could not be solved with the steps and tolerances allowed."""
