"""Prints consulpy.1 from the help texts of the command line: `python deploy/make_man.py >deploy/consulpy.1`."""

import re
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO

from consulpy.cli.main import main

_HEAD = """.\\" Made by deploy/make_man.py from the help texts.
.TH CONSULPY 1 "" "consulpy" "User commands"
.SH NAME
consulpy \\- a Consul-compatible agent, and its command line
.SH SYNOPSIS
.B consulpy
.RB [ \\-\\-version ]
.RB [ \\-\\-help ]
.I command
.RI [ arguments ]
.SH DESCRIPTION
An agent takes part in a cluster of Consul agents, answers DNS and HTTP, and is a server or a client of servers.
.B consulpy agent
runs one; all other commands ask an agent over HTTP. Flags are taken with one dash or two.
.SH COMMANDS
"""
_TAIL = """.SH ENVIRONMENT
.TP
.B CONSUL_HTTP_ADDR
Where the agent is: HOST:PORT, a URL, or unix:///PATH.
.TP
.BR CONSUL_HTTP_TOKEN ", " CONSUL_HTTP_TOKEN_FILE
The token of requests.
.TP
.BR CONSUL_HTTP_SSL ", " CONSUL_HTTP_SSL_VERIFY ", " CONSUL_TLS_SERVER_NAME
Whether to speak HTTPS, whether to check the certificate, and for which name.
.TP
.BR CONSUL_CACERT ", " CONSUL_CAPATH ", " CONSUL_CLIENT_CERT ", " CONSUL_CLIENT_KEY
The authorities to trust, and the certificate to show.
.TP
.B NOTIFY_SOCKET
Where an agent tells a service manager its state, see sd_notify(3).
.SH SIGNALS
SIGINT and SIGTERM end an agent; a client leaves its cluster before, a server does not
.RB ( skip_leave_on_interrupt ", " leave_on_terminate ).
SIGHUP reloads the configuration.
.SH EXIT STATUS
0 for success, an agent that left included; 1 for an error, an agent that ended without leaving included; 2 where
.B members
finds none that match.
.SH SEE ALSO
twistd(1); the documentation in docs/ of the source.
"""


def _escaped(text: str) -> str:
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"(?m)^([.'])", r"\\&\1", text)


def _help(*words: str) -> str:
    """What the command line prints for these words and -help."""
    printed = StringIO()
    with redirect_stdout(printed):
        main([*words, "-help"])
    return printed.getvalue().rstrip()


#: The same flags in all commands that ask an agent: they get a section of their own.
_CLIENT_FLAGS = re.compile(r"\n\nHTTP API Options\n\n(.*?)(?=\n\nCommand Options|\Z)", re.DOTALL)


def _sections(words: tuple[str, ...], text: str) -> Iterator[str]:
    """A command with its help, and all commands below it."""
    if words:
        yield f".SS consulpy {_escaped(' '.join(words))}\n.nf\n{_escaped(_CLIENT_FLAGS.sub('', text))}\n.fi\n"
    _, _, listed = text.partition("Available commands are:" if not words else "Subcommands:")
    for name in re.findall(r"(?m)^    (\S+)", listed):
        yield from _sections((*words, name), _help(*words, name))


def page() -> str:
    """The whole page."""
    flags = _CLIENT_FLAGS.search(_help("members"))
    client = (
        f".SH HTTP API OPTIONS\nCommands that ask an agent take these.\n.nf\n{_escaped(flags[1])}\n.fi\n"
        if flags
        else ""
    )
    return "".join([_HEAD, *_sections((), _help()), client, _TAIL])


if __name__ == "__main__":
    print(page(), end="")
