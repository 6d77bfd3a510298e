"""The command ``minicnn``: parses, runs one command, and turns every error into a line and an exit code.

Its exit codes are in ``_EPILOG``, the end of its help.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import minicnn
from minicnn.cli import (
    bench,
    data,
    digest,
    evaluate,
    experiment,
    find_lr,
    gradcheck,
    info,
    load,
    predict,
    summary,
    train,
    tune,
    verify,
)
from minicnn.cli.output import tell
from minicnn.errors import CheckpointError, FormatError, MiniCNNError, NonFiniteError
from minicnn.train.config import suggest, suggest_flag
from minicnn.train.signals import Interrupted, raising

__all__ = ["COMMANDS", "main"]

# Each module has `HELP`, `add_arguments(parser)` and `run(args) -> exit code`.
COMMANDS: dict[str, Any] = {
    "train": train,
    "evaluate": evaluate,
    "predict": predict,
    "summary": summary,
    "gradcheck": gradcheck,
    "bench": bench,
    "info": info,
    "data": data,
    "find-lr": find_lr,
    "experiment": experiment,
    "tune": tune,
    "load": load,
    "verify": verify,
    "digest": digest,
}

_OWN = ("-h", "--help", "--version")  # all other options belong to a command

_EPILOG = (
    "exit codes: 0 done; 1 a check failed, or an error inside minicnn; 2 usage or configuration; "
    "3 bad input file; 4 numbers that are not finite; 5 input/output, such as a full disk; "
    "130 and 143 after Ctrl-C and SIGTERM, a training saved"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    Parameters
    ----------
    argv : sequence of str, optional
        The words after ``minicnn``; by default those of this process.

    Examples
    --------
    >>> main(["--version"])
    minicnn 0.1.0
    0
    """
    words = sys.argv[1:] if argv is None else list(argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # any name of a file can be printed then
    args = argparse.Namespace(command="", debug=False)  # until they are parsed
    try:
        with raising():
            args = _parse(words)
            code = args.run(args)
            sys.stdout.flush()
            return code
    except SystemExit as stop:  # --help, --version, and wrong usage, which has been told
        return int(stop.code or 0)
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 5
    except (Exception, KeyboardInterrupt) as error:
        if args.debug:
            raise
        code = exit_code(error)
        tell(f"{f'minicnn {args.command}'.rstrip()}: {_text(error, code)}")
        return code


def _parse(words: list[str]) -> argparse.Namespace:
    """The command and its arguments; ends with exit code 2 if they are wrong."""
    if words and not words[0].startswith("-") and words[0] not in COMMANDS:
        tell(f"minicnn: there is no command {words[0]!r}; {suggest(words[0], list(COMMANDS))}")
        raise SystemExit(2)
    if words and words[0].startswith("-") and not any(own.startswith(words[0]) for own in _OWN):
        command = next((word for word in words if word in COMMANDS), "COMMAND")
        tell(f"minicnn: {words[0]} goes behind the command: minicnn {command} {words[0]}")
        raise SystemExit(2)
    args, unknown = _parser().parse_known_args(words)
    if unknown:
        raise SystemExit(_refuse(args, unknown[0]))
    return args


def exit_code(error: BaseException) -> int:
    """The exit code for an error, see the head of this file."""
    if isinstance(error, Interrupted):
        return error.exit_code
    codes: list[tuple[Any, int]] = [
        (KeyboardInterrupt, 130),
        ((FormatError, CheckpointError, FileNotFoundError, IsADirectoryError), 3),
        (NonFiniteError, 4),
        (MiniCNNError, 2),
        ((OSError, MemoryError), 5),
    ]
    return next((code for kind, code in codes if isinstance(error, kind)), 1)


def _text(error: BaseException, code: int) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}" if error.filename else str(error)
    if isinstance(error, MemoryError):
        return "not enough memory"
    text = str(error)
    if code != 1:
        return text
    return f"{type(error).__name__}: {text}; run it again with --debug for the traceback"


def _refuse(args: argparse.Namespace, word: str) -> int:
    """Tell that the command does not know a word."""
    prog = f"minicnn {args.command}"
    if word.startswith("-"):
        tell(f"{prog}: there is no option {word}; {suggest_flag(word, args.options)}")
    else:
        tell(f"{prog}: one argument too many: {word!r}\nsee {prog} --help")
    return 2


class _Parser(argparse.ArgumentParser):
    """A parser whose errors take two lines: what is wrong, and where to read more."""

    def error(self, message: str) -> NoReturn:
        tell(f"{self.prog}: {message}\nsee {self.prog} --help")
        raise SystemExit(2)


def _parser() -> argparse.ArgumentParser:
    about = "Train and examine convolutional neural networks."
    parser = _Parser(prog="minicnn", description=about, epilog=_EPILOG)
    parser.add_argument("--version", action="version", version=f"minicnn {minicnn.__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", dest="command", required=True, parser_class=_Parser)
    for name, module in COMMANDS.items():
        command = commands.add_parser(name, help=module.HELP, description=module.__doc__, allow_abbrev=False)
        module.add_arguments(command)
        command.add_argument("--json", action="store_true", help="print one JSON object as the last line")
        command.add_argument("--debug", action="store_true", help="show the traceback of an error")
        options = [word for action in command._actions for word in action.option_strings if word[:2] == "--"]
        command.set_defaults(run=module.run, options=options)
    return parser
