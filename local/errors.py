"""What can go wrong with the local stack, each as one line that says what to do."""


class LocalStackError(Exception):
    """The local stack can't do that; the message is the one line shown."""


class PortTakenError(LocalStackError):
    """A port the stack needs belongs to another program."""


class PartFailedError(LocalStackError):
    """A part of the stack didn't become ready."""
