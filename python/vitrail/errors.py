# SPDX-License-Identifier: Apache-2.0
"""What goes wrong, with the exit status of Vitrail's command line that belongs to it."""

CHECK_FAILED, BAD_USAGE, BAD_INPUT, UNAVAILABLE, INTERRUPTED = 1, 2, 3, 4, 130


class ExportError(Exception):
    """Names what in the model is the cause, and the way out. `status` is the command line's exit status."""

    def __init__(self, message, status=BAD_INPUT):
        super().__init__(message)
        self.status = status


def first_line(error):
    """The first line of an exception's text that says something; exporters' messages are pages long."""
    lines = [line.strip() for line in str(error).splitlines()]
    return next((line for line in lines if line and set(line) - set("=-~^ ")), type(error).__name__)
