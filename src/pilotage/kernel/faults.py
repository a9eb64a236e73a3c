"""Where and how a user's code failed, in one line: what turns an exception into a message without a traceback."""

from types import TracebackType

from pilotage.model.errors import InvalidInput

_LONGEST = 300


def line_in(file: str, traceback: TracebackType | None) -> int | None:
    """Return the line of the innermost frame of ``traceback`` that runs code of ``file``, or None."""
    line = None
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == file:
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return line


def told(error: BaseException) -> str:
    """Return an exception as one short line: its type and message, or the message alone for bad input."""
    text = " ".join(str(error).split())
    if isinstance(error, SystemExit):
        text = f"ends the program (exit {text})"
    elif not isinstance(error, InvalidInput):
        text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
